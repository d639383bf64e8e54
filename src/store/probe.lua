-- The entry that holds an offset, without its lines: for bisection. Its ID, its number of
-- lines, the stored bytes of the topic up to its end, and its own.
local entry = redis.call('XRANGE', KEYS[1], ARGV[1] .. '-0', '+', 'COUNT', 1)[1]
if not entry then return false end
local fields = { n = '1', s = '0' }
for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
return { entry[1], fields.n, fields.s, #(fields.b or fields.z or '') }
