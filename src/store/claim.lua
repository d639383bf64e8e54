-- Says who has a producer's name; and gives it to somebody, or nobody, with the records that
-- this changes, in one atomic step.
-- ARGV: the name. And where something is to change: the claim as it is believed to be ('' for
-- none), source and instance of the new one ('' for none), for how many milliseconds nobody
-- else may have the name, the most claims of a topic; then a source, what its record has to
-- start with ('' for none) and its new record, in turn.
local name, believed, source, instance = 'p:' .. ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local role = role_and_id()
if role ~= 'master' then return { 'not-master', role } end

local claim = redis.call('HGET', STATE, name) or ''
local as_believed = claim == believed
for i = 7, #ARGV, 3 do
  local stored = redis.call('HGET', STATE, 's:' .. ARGV[i]) or ''
  local is_same = ARGV[i + 1] == '' and stored == '' or
    ARGV[i + 1] ~= '' and string.sub(stored, 1, #ARGV[i + 1]) == ARGV[i + 1]
  as_believed = as_believed and is_same
end
if not as_believed then
  local held = string.match(claim, '^(%S+) ')
  local record = held and redis.call('HGET', STATE, 's:' .. held) or ''
  return { 'found', whole(now_ms()), claim, record }
end

-- How many claims there are is counted where they are, to be lost with them.
if source == '' then
  if claim ~= '' then
    redis.call('HINCRBY', STATE, 'producers', -1)
    redis.call('HDEL', STATE, name)
  end
else
  if claim == '' then
    if (tonumber(redis.call('HGET', STATE, 'producers')) or 0) >= tonumber(ARGV[6]) then return { 'full' } end
    redis.call('HINCRBY', STATE, 'producers', 1)
  end
  claim = source .. ' ' .. instance .. ' ' .. whole(now_ms() + tonumber(ARGV[5]))
  redis.call('HSET', STATE, name, claim)
end
for i = 7, #ARGV, 3 do
  redis.call('HSET', STATE, 's:' .. ARGV[i], ARGV[i + 2])
end
return { 'ok', source == '' and '' or claim }
