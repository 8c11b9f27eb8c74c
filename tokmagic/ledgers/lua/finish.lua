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
  write_accounts()
  return {'ended'}
end

local record = cmsgpack.unpack(open)
local measures = cjson.decode(ARGV[7])
if letter == 'u' then
  charge_at_ceiling(id, record, letter .. ARGV[6], measures)
  lower(rooms, now)
  write_accounts()
  return {'done'}
end

local ceiling, expected = cjson.decode(ARGV[8]), cjson.decode(ARGV[9])
read_holds(record)
for _, held in ipairs(record.holds) do
  local key, state = held[1], states[held[1]]
  local unit = state[UNIT]
  local truth = ceiling[unit] or held[2]
  if state[FULL] == 'wait' then
    local back = unit ~= 1 and expected[unit] and held[3] - expected[unit] or 0
    set_room(key, refilled(state, now) + back, now)
  elseif record.state == 'h' then
    change(key, truth, -held[2])
  else
    change(key, truth - held[2], 0)
  end
end
if record.state == 'u' then take_out(record) end
if letter == 's' then add(record, measures) end
call('HDEL', P .. 'o', id)
call('HSET', P .. 'x', id, letter .. ARGV[6])
call('ZREM', P .. 'lease', id)
lower(rooms, now)
write_accounts()
return {'done'}
