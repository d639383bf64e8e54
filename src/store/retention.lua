-- Sets how much of a topic is kept.
-- ARGV: greatest age in milliseconds, greatest size in bytes; '' for the default of the relays.
local role = role_and_id()
if role ~= 'master' then return { 'not-master', role } end
if redis.call('EXISTS', LINES, STATE) == 0 then return { 'absent' } end
for i, field in ipairs({ 'max_age_ms', 'max_bytes' }) do
  if ARGV[i] == '' then redis.call('HDEL', STATE, field) else redis.call('HSET', STATE, field, ARGV[i]) end
end
return { 'ok' }
