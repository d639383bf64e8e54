-- Forgets sources: their records, and who has the name of a producer.
-- ARGV: the sources.
local role = role_and_id()
if role ~= 'master' then return { 'not-master', role } end
local forgotten = 0
for _, source in ipairs(ARGV) do
  forget_file(source, redis.call('HGET', STATE, 's:' .. source) or '')
  forgotten = forgotten + redis.call('HDEL', STATE, 's:' .. source)
  redis.call('HDEL', STATE, 'g:' .. source)
  local name = 'p:' .. string.match(source, '^[^/]*')
  local claim = redis.call('HGET', STATE, name)
  if claim and string.match(claim, '^%S+') == source then
    redis.call('HDEL', STATE, name)
    redis.call('HINCRBY', STATE, 'producers', -1)
  end
end
return { 'ok', whole(forgotten) }
