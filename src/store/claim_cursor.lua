-- Makes a stream the owner of a durable subscription: the newest stream wins.
-- ARGV: name, token of the stream, when it claimed it (0: it does so now), the cursor to be held
-- where there is none yet ('': none is), greatest number of names, for how long they are kept.
local role = role_and_id()
if role ~= 'master' then return { 'not-master', role } end
local name, token, claimed, cursor = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local most, expiry_ms = tonumber(ARGV[5]), tonumber(ARGV[6])

local held = read_held(name)
if not held then
  if cursor == '' then return { 'none' } end
  if not has_room(most, expiry_ms) then return { 'full' } end
  held = { cursor = cursor, owner = '-', claimed = 0 }
end
-- A claim that is older than this one: Redis forgot this one.
if claimed == 0 or held.owner == token or held.claimed < claimed then
  local after = claimed == 0 and math.max(now_ms(), held.claimed + 1) or claimed
  held.owner, held.claimed = token, math.max(after, held.claimed)
  write_held(name, held, expiry_ms)
end
return { 'ok', held.cursor, held.owner, whole(held.claimed) }
