-- Forgets records that were marked as gone long enough ago, and those of producers whose
-- name nobody has held for long enough. How long the former are gone is counted from the
-- first call that sees the mark, by the clock of the server.
-- ARGV: for how many milliseconds either is kept, then source and beginning of the record,
-- as it was read, in turn.
local role, replid = role_and_id()
if role ~= 'master' then return { 'not-master', role } end
local keep_ms, idle_ms, now, expired = tonumber(ARGV[1]), tonumber(ARGV[2]), now_ms(), 0
for i = 3, #ARGV, 2 do
  local record, mark = 's:' .. ARGV[i], 'g:' .. ARGV[i]
  local believed = ARGV[i + 1]
  local stored = redis.call('HGET', STATE, record)
  if stored and string.sub(stored, 1, #believed) == believed then
    local name = 'p:' .. string.match(ARGV[i], '^[^/]*')
    local holder, held_until = string.match(redis.call('HGET', STATE, name) or '', '^(%S+) %x+ (%d+)$')
    -- The mark is of one state of the record: a source that came back begins anew.
    local seen = redis.call('HGET', STATE, mark) or ''
    local since = string.sub(seen, 1, #believed) == believed and tonumber(string.sub(seen, #believed + 1))
    if holder == ARGV[i] then
      if now - tonumber(held_until) >= idle_ms then
        redis.call('HINCRBY', STATE, 'producers', -1)
        redis.call('HDEL', STATE, record, name)
        expired = expired + 1
      end
    elseif not since then
      redis.call('HSET', STATE, mark, believed .. whole(now))
    elseif now - since >= keep_ms then
      forget_file(ARGV[i], stored)
      redis.call('HDEL', STATE, record, mark)
      expired = expired + 1
    end
  end
end

-- Offsets never start over: what stays of a topic without lines and sources is where it
-- stood.
local is_tombstone = redis.call('XLEN', LINES) == 0
if is_tombstone then
  for _, field in ipairs(redis.call('HKEYS', STATE)) do
    if string.sub(field, 1, 2) == 's:' then is_tombstone = false end
  end
  if is_tombstone then redis.call('DEL', LINES) end
end
return { 'ok', whole(expired), is_tombstone and '1' or '0' }
