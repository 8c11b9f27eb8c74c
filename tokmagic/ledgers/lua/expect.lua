-- now, id, expected
local now, expected = clock(ARGV[1]), cjson.decode(ARGV[3])
local open = call('HGET', P .. 'o', ARGV[2])
local record = open and cmsgpack.unpack(open)
if not record or record.state ~= 'h' then return end
read_holds(record)
for _, held in ipairs(record.holds) do
  local state = states[held[1]]
  local amount = expected[state[UNIT]] or 0
  if state[FULL] == 'wait' and amount ~= held[3] then
    set_room(held[1], refilled(state, now) + held[3] - amount, now)
    held[3] = amount
  end
end
write_accounts()
call('HSET', P .. 'o', ARGV[2], cmsgpack.pack(record))
