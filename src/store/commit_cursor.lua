-- Moves the cursor of a durable subscription, never back, unless that is what is asked for.
-- ARGV: name, token of the stream that owns it (`-`: none does), the cursor, its epoch, its
-- offset, 1 to go there from anywhere and take it from its owner, greatest number of names, for
-- how long they are kept.
local role, replid = role_and_id()
if role ~= 'master' then return { 'not-master', role } end
local name, token, cursor, epoch, offset = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local seeks, most, expiry_ms = ARGV[6] == '1', tonumber(ARGV[7]), tonumber(ARGV[8])

local state, held = read_state(), read_held(name)
if not held then
  if not state.next and token == '-' then return { 'absent' } end
  if not has_room(most, expiry_ms) then return { 'full' } end
  held = { cursor = '-', owner = token, claimed = 0 }
elseif held.owner ~= token and not seeks then
  return { 'taken' }
end
-- After a failover a reader may have seen what this server does not know yet.
if state.next and state.replid == replid
  and (epoch > state.epoch or (epoch == state.epoch and offset > state.next)) then
  return { 'ahead', state.epoch, whole(state.next) }
end

local held_epoch, held_offset = string.match(held.cursor, '@(%x+):(%d+)$')
local is_later = not held_epoch or epoch > held_epoch
  or (epoch == held_epoch and offset > tonumber(held_offset))
if seeks then held.owner, held.claimed = '-', math.max(now_ms(), held.claimed + 1) end
if seeks or is_later then held.cursor = cursor end
write_held(name, held, expiry_ms)
return { 'ok', held.cursor }
