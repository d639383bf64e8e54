-- Removes the lines of a topic, its durable subscriptions and its own retention. What stays is
-- where it stood, in a new epoch, so that readers hear at once what they will not get; and the
-- records of its sources.
-- KEYS[3] the cursors.
local role, replid = role_and_id()
if role ~= 'master' then return { 'not-master', role } end
local state, cursors = read_state(), redis.call('HLEN', KEYS[3])
if not state.next and redis.call('EXISTS', LINES) == 0 then
  redis.call('UNLINK', KEYS[3])
  return { 'absent' }
end
local before = state.next or 0
local first = first_offset(before)
if state.replid ~= replid or not state.next or first < before then begin_epoch(state, replid) end
redis.call('UNLINK', LINES, KEYS[3])
redis.call('HDEL', STATE, 'max_age_ms', 'max_bytes')
redis.call('HSET', STATE, 'first', whole(state.next))
return { 'ok', whole(state.next - math.min(first, state.next)), whole(cursors), whole(state.next) }
