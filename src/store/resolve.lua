-- Says where a topic stands; begins a new epoch where the server has changed.
local role, replid = role_and_id()
if role ~= 'master' then return { 'not-master', role } end
local state = read_state()
if not state.next and redis.call('EXISTS', LINES) == 0 then return { 'absent' } end
if state.replid ~= replid or not state.next then begin_epoch(state, replid) end

local oldest = entry_at('XRANGE', '-', '+')
local first, first_ms, held = state.next, 0, 0
if oldest then
  first, first_ms = oldest.last - oldest.n + 1, oldest.ms
  held = math.max(state.bytes - oldest.s + oldest.size, 0)
end
first = math.min(first, state.next)
local own = redis.call('HMGET', STATE, 'max_age_ms', 'max_bytes')
return {
  'ok', state.epochs, whole(first), whole(state.next), whole(held),
  whole(first_ms), whole(state.ms), own[1] or '', own[2] or '', whole(lost_before(first, state)),
}
