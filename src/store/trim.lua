-- Removes entries from the old end of a topic, some at a time; says how many lines were gone
-- before that nobody had removed, once.
-- ARGV: the epoch in which the offset was looked up, the first offset to be kept, how
-- many entries may go at once, nearly.
local role, replid = role_and_id()
if role ~= 'master' then return { 'not-master', role } end
local state = read_state()
if state.epoch ~= ARGV[1] or state.replid ~= replid then return { 'other-epoch' } end

local lost = lost_before(first_offset(state.next), state)
-- An entry is named by its last line: one that holds the offset stays whole.
local from = whole(math.min(tonumber(ARGV[2]), state.next)) .. '-0'
local removed = redis.call('XTRIM', LINES, 'MINID', '~', from, 'LIMIT', ARGV[3])
local is_done = removed == 0
-- What is left is less than one node of the stream.
if is_done then removed = redis.call('XTRIM', LINES, 'MINID', '=', from) end

local first = first_offset(state.next)
local epochs = reachable_epochs(state.epochs, first, state.next)
if epochs ~= state.epochs or first ~= state.first then
  redis.call('HSET', STATE, 'epochs', epochs, 'first', whole(first))
end
return { 'ok', whole(first), whole(removed), is_done and '1' or '0', whole(lost) }
