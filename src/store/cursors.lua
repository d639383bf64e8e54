-- Durable subscriptions of one topic. Stands between timeline.lua and claim_cursor.lua or commit_cursor.lua.
-- KEYS[3] the cursors (a hash): of each name the cursor (`-`: the topic's first line, as there
-- was no topic), the token of the stream that owns it (`-`: none), when that claimed it and when
-- it was used last, in milliseconds, with blanks between them.
local CURSORS = KEYS[3]

local function read_held(name)
  local text = redis.call('HGET', CURSORS, name)
  if not text then return nil end
  local cursor, owner, claimed, used = string.match(text, '^(%S+) (%S+) (%d+) (%d+)$')
  if not cursor then
    error({ err = 'LOGRELAY ' .. CURSORS .. ' has a field ' .. name .. ' that is not readable' })
  end
  return { cursor = cursor, owner = owner, claimed = tonumber(claimed), used = tonumber(used) }
end

-- The key goes by itself when none of them is used any more.
local function write_held(name, held, expiry_ms)
  redis.call('HSET', CURSORS, name,
    table.concat({ held.cursor, held.owner, whole(held.claimed), whole(now_ms()) }, ' '))
  redis.call('PEXPIRE', CURSORS, expiry_ms)
end

-- Whether there may be one more, once those that nobody uses are forgotten.
local function has_room(most, expiry_ms)
  if redis.call('HLEN', CURSORS) < most then return true end
  local held, now = redis.call('HGETALL', CURSORS), now_ms()
  for i = 1, #held, 2 do
    local used = tonumber(string.match(held[i + 1], ' (%d+)$'))
    if used and now - used > expiry_ms then redis.call('HDEL', CURSORS, held[i]) end
  end
  return redis.call('HLEN', CURSORS) < most
end
