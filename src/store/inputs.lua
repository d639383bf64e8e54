-- Replaces inputs of a host or group, all of them or none.
-- KEYS[1]: their hash. ARGV[1]: the most fields that it may have; then pairs of a name and
-- a text, which is empty where the input is removed. A field is a version, a newline and
-- the text. A removed input stays as an empty one: a field that is not there was lost.
-- Returns the version of each; 0 where there was nothing to remove.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local fields = redis.call('HLEN', KEYS[1])
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then fields = fields + 1 end
end
if fields > tonumber(ARGV[1]) then
  return redis.error_reply('LOGRELAY there would be ' .. fields .. ' inputs, at most ' .. ARGV[1]
    .. ' are kept, removed ones included')
end

local versions = {}
for i = 2, #ARGV, 2 do
  local name, text = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', KEYS[1], name)
  local old_version, old_text = '0', nil
  if old then
    old_version, old_text = string.match(old, '^(%d+)\n(.*)$')
    if not old_version then old_version, old_text = '0', old end
  end
  if (old_text or '') == text then
    versions[#versions + 1] = text == '' and '0' or old_version
  else
    local version = string.format('%.0f', math.max(now, tonumber(old_version) + 1))
    redis.call('HSET', KEYS[1], name, version .. '\n' .. text)
    versions[#versions + 1] = version
  end
end
return versions
