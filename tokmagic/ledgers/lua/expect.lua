-- now, id, expected
local record = open_entry(ARGV[2])
if not record or record[STATE_OF] ~= HOLDING then return end
local now, expected = clock(ARGV[1]), numbers(ARGV[3])
read_accounts(stood_on(record))
for i = STANDING, #record, PER_STANDING do
  local key, before = record[i], record[i + 3]
  local state, amount = states[key], expected[record[i + 1]]
  if amount ~= amount then amount = 0 end
  if state[SECONDS] > 0 and amount ~= before then
    set_room(key, refilled(state, now) + before - amount, now)
    record[i + 3] = amount
  end
end
write_accounts()
write_open(ARGV[2], record)
