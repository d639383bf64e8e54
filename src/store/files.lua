-- As which sources files were registered. Stands before append.lua, expire.lua and forget.lua,
-- behind timeline.lua.

-- Which source a file was registered as last. None where its file system does not say when it
-- was made, so that another file can have its numbers.
local function file_field(source, record)
  local device, inode = string.match(record, '"device":(%d+)'), string.match(record, '"inode":(%d+)')
  local created = string.match(record, '"created_ns":(%d+)')
  if not (device and inode and created) then return nil end
  return 'f:' .. string.match(source, '^[^/]*') .. '/' .. device .. '-' .. inode .. '-' .. created
end

-- Forgets with a source that its file was registered as it.
local function forget_file(source, record)
  local file = file_field(source, record)
  if file and redis.call('HGET', STATE, file) == source then redis.call('HDEL', STATE, file) end
end
