-- Which timeline this server is on. Stands before append.lua and resolve.lua.
-- KEYS[1] the lines (a stream), KEYS[2] the state (a hash) of one topic.
local LINES, STATE = KEYS[1], KEYS[2]

-- Lua's own conversion writes large numbers as 1.2e+15.
local function whole(number)
  return string.format('%.0f', number)
end

-- Offsets are counted in doubles, which know whole numbers up to here.
local MAX_OFFSET = 2 ^ 53 - 1
-- An epoch has 11 hex digits for its milliseconds.
local MAX_MS = 2 ^ 44

-- To be called before anything is written: what a failing script wrote stays written.
local function check_offset(offset)
  if not (offset >= 0 and offset <= MAX_OFFSET) then
    error({ err = 'LOGRELAY ' .. LINES .. ' has no room for the offset ' .. whole(offset) })
  end
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Read on the server that runs the script, every time: a connection outlives a
-- promotion, so nothing about its server may be remembered.
local function role_and_id()
  local info = redis.call('INFO', 'replication')
  return string.match(info, 'role:(%a+)'), string.match(info, 'master_replid:(%x+)')
end

local function read_state()
  local got = redis.call('HMGET', STATE, 'next', 'epoch', 'replid', 'epochs', 'ms', 'bytes', 'first')
  return {
    next = tonumber(got[1]), epoch = got[2], replid = got[3], epochs = got[4],
    ms = tonumber(got[5]) or 0, bytes = tonumber(got[6]), first = tonumber(got[7]),
  }
end

-- The entry at one end of the stream: its last offset, time, lines, bytes so far, size.
local function entry_at(command, from, to)
  local entry = redis.call(command, LINES, from, to, 'COUNT', 1)[1]
  if not entry then return nil end
  local last, ms = string.match(entry[1], '(%d+)-(%d+)')
  local found = { last = tonumber(last), ms = tonumber(ms), n = 1, s = 0, size = 0 }
  for i = 1, #entry[2], 2 do
    local field, value = entry[2][i], entry[2][i + 1]
    if field == 'n' or field == 's' then found[field] = tonumber(value) or found[field] end
    if field == 'b' or field == 'z' then found.size = #value end
  end
  return found
end

-- The greatest offset that the stream ever had, and its time, also when it is empty now.
local function last_generated()
  if redis.call('EXISTS', LINES) == 0 then return nil end
  local info = redis.call('XINFO', 'STREAM', LINES)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' and info[i + 1] ~= '0-0' then
      local last, ms = string.match(info[i + 1], '(%d+)-(%d+)')
      return tonumber(last), tonumber(ms)
    end
  end
end

-- The first offset that can be read: `next` where there are no lines.
local function first_offset(next)
  local oldest = entry_at('XRANGE', '-', '+')
  return oldest and math.min(oldest.last - oldest.n + 1, next) or next
end

-- The epochs without those whose end is trimmed: a reader in one of these has missed
-- lines in any case. The last epoch ends at `finish`.
local function reachable_epochs(epochs, first, finish)
  local pairs_before, kept = {}, {}
  for pair in string.gmatch(epochs or '', '[^,]+') do pairs_before[#pairs_before + 1] = pair end
  for i, pair in ipairs(pairs_before) do
    local after = pairs_before[i + 1]
    local ends = after and tonumber(string.match(after, ':(%d+)')) or finish
    if ends >= first then kept[#kept + 1] = pair end
  end
  return table.concat(kept, ',')
end

-- How many lines before the offset `first` are gone that nobody has removed on purpose: the
-- stream was evicted, or somebody has cut it.
local function lost_before(first, state)
  return math.max(first - (state.first or first), 0)
end

-- Begins a new epoch: Redis may have lost lines that it had acknowledged.
local function begin_epoch(state, replid)
  local begin, last, last_ms = state.next or 0, last_generated()
  if last then begin = math.max(begin, last + 1) end
  check_offset(begin)
  -- Where the state is lost, the time must not run backwards along the stream either.
  if last and not state.next and last_ms < MAX_MS then state.ms = math.max(state.ms, last_ms) end

  local ms = math.max(now_ms(), state.ms)
  if state.epoch then ms = math.max(ms, tonumber(string.sub(state.epoch, 1, 11), 16) + 1) end
  state.epoch = string.format('%011x', ms) .. string.sub(replid, 1, 5)

  local first = first_offset(begin)
  state.first = state.first or first
  local kept = reachable_epochs(state.epochs, first, begin)
  local own = state.epoch .. ':' .. whole(begin)
  state.epochs = kept == '' and own or kept .. ',' .. own

  if not state.bytes then
    local newest = entry_at('XREVRANGE', '+', '-')
    state.bytes = newest and newest.s or 0
  end
  state.next, state.replid = begin, replid
  redis.call('HSET', STATE, 'next', whole(begin), 'epoch', state.epoch, 'replid', replid,
    'epochs', state.epochs, 'bytes', whole(state.bytes), 'ms', whole(state.ms),
    'first', whole(state.first))
end
