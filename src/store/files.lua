-- Forgets with a source that its file was registered as it. Stands before expire.lua and
-- forget.lua, behind timeline.lua.
local function forget_file(source, record)
  local file = file_field(source, record)
  if file and redis.call('HGET', STATE, file) == source then redis.call('HDEL', STATE, file) end
end
