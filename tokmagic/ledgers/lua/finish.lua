-- now, notes, rooms, then of the entry that ends: id, letter, new values, measures, used ceiling, used expected
local now = clock(ARGV[1])
local notes, rooms, id, letter = cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), ARGV[4], ARGV[5]
local open = call('HGET', P .. 'o', id)
if not open and call('HEXISTS', P .. 'x', id) == 0 then return {'unknown'} end
local changed = stale(notes)
if changed then return {'stale', changed} end
write_notes(notes)
if not open then
  lower(rooms, now)
  return {'ended'}
end

local record = cmsgpack.unpack(open)
local measures = cjson.decode(ARGV[7])
if letter == 'u' then
  charge_at_ceiling(id, record, letter .. ARGV[6], measures)
  lower(rooms, now)
  return {'done'}
end

local ceiling, expected = cjson.decode(ARGV[8]), cjson.decode(ARGV[9])
for _, held in ipairs(record.holds) do
  local account = kept(held[1], now)
  local truth = ceiling[account.unit] or held[2]
  if account.full == 'wait' then
    local back = account.unit ~= 1 and expected[account.unit] and held[3] - expected[account.unit] or 0
    write_room(account, account.room + back, now)
  elseif record.state == 'h' then
    change(account.key, truth, -held[2])
  else
    change(account.key, truth - held[2], 0)
  end
end
if record.state == 'u' then take_out(record) end
if letter == 's' then add(record, measures) end
call('HDEL', P .. 'o', id)
call('HSET', P .. 'x', id, letter .. ARGV[6])
call('ZREM', P .. 'lease', id)
lower(rooms, now)
return {'done'}
