-- now, id, expected
local now, expected = clock(ARGV[1]), cjson.decode(ARGV[3])
local open = call('HGET', P .. 'o', ARGV[2])
local record = open and cmsgpack.unpack(open)
if not record or record.state ~= 'h' then return end
for _, held in ipairs(record.holds) do
  local account = kept(held[1], now)
  local amount = expected[account.unit] or 0
  if account.full == 'wait' and amount ~= held[3] then
    write_room(account, account.room + held[3] - amount, now)
    held[3] = amount
  end
end
call('HSET', P .. 'o', ARGV[2], cmsgpack.pack(record))
