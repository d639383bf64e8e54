-- The ID of the entry that holds an offset, without the entry: for bisection.
local entry = redis.call('XRANGE', KEYS[1], ARGV[1] .. '-0', '+', 'COUNT', 1)[1]
if not entry then return false end
for i = 1, #entry[2], 2 do
  if entry[2][i] == 'n' then return { entry[1], entry[2][i + 1] } end
end
return { entry[1], '1' }
