-- Whether this server serves: it is a master, and looks up a key.
local role = string.match(redis.call('INFO', 'replication'), 'role:(%a+)')
if role ~= 'master' then return { 'not-master', role } end
redis.call('EXISTS', KEYS[1])
return { 'ok' }
