-- Appends one batch and stores its source's record, in one atomic step.
-- ARGV: source key (`host/` alone asks for a new one, and nothing else), what the
-- stored record has to start with ('' for none), the record after this batch, number
-- of lines (0 registers), field of the payload (b or z), payload; and, where this source has its
-- first lines behind another one's: the key of that, and what its stored record has to start with.
-- To register a new source: in the field's place `new`, and behind it the sources that its file is
-- known not to be.
local source, believed, record = ARGV[1], ARGV[2], ARGV[3]
local lines, field, payload = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local is_new = field == 'new'
local before, before_believed = not is_new and ARGV[7], ARGV[8]

local role, replid = role_and_id()
if role ~= 'master' then return { 'not-master', role } end
local state = read_state()
if state.replid ~= replid or not state.next then begin_epoch(state, replid) end

-- The key alone is given, and the record stored by a second call that names it: the
-- second may come twice, late or never, and there is still one record of the source.
if string.sub(source, -1) == '/' then
  source = source .. state.epoch .. '-' .. whole(redis.call('HINCRBY', STATE, 'ids', 1))
  return { 'ok', state.epoch, whole(state.next), whole(state.ms), source }
end

local stored = redis.call('HGET', STATE, 's:' .. source)
local as_believed = stored == false
if believed ~= '' then
  as_believed = stored and string.sub(stored, 1, #believed) == believed
end
if not as_believed then
  -- Sent again: written again, for who waits on this connection until it is safe.
  if stored == record then redis.call('HSET', STATE, 's:' .. source, record) end
  return { 'conflict', state.epoch, stored }
end

if before then
  local other = redis.call('HGET', STATE, 's:' .. before)
  if not other or string.sub(other, 1, #before_believed) ~= before_believed then
    return { 'early', state.epoch, other }
  end
end

if lines == 0 then
  local file = believed == '' and file_field(source, record)
  if file and is_new then
    -- Two tailers that find a file at the same time are one source of it.
    local other, is_known = redis.call('HGET', STATE, file), false
    for i = 6, #ARGV do is_known = is_known or ARGV[i] == other end
    local taken = other and not is_known and redis.call('HGET', STATE, 's:' .. other)
    if taken then return { 'taken', state.epoch, taken, whole(state.ms), other } end
  end
  if file then redis.call('HSET', STATE, file, source) end
  redis.call('HSET', STATE, 's:' .. source, record)
  return { 'ok', state.epoch, whole(state.next), whole(state.ms), source }
end

local base, ms
local function add()
  base, ms = state.next, math.max(now_ms(), state.ms)
  check_offset(base)
  check_offset(base + lines)
  return redis.pcall('XADD', LINES, whole(base + lines - 1) .. '-' .. whole(ms),
    'v', '1', 'e', state.epoch, 'n', whole(lines), 's', whole(state.bytes + #payload), field, payload)
end

-- The entry comes first: what a failing script wrote before stays written.
local added = add()
if type(added) == 'table' and added.err and string.find(added.err, 'equal or smaller', 1, true) then
  begin_epoch(state, replid)
  added = add()
end
if type(added) == 'table' and added.err then return added end

redis.call('HSET', STATE, 'next', whole(base + lines), 'bytes', whole(state.bytes + #payload),
  'ms', whole(ms), 's:' .. source, record)
return { 'ok', state.epoch, whole(base), whole(ms), source }
