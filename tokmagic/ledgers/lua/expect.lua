-- now, id, expected
local record = open_entry(ARGV[2])
if not record or record[STATE_OF] ~= HOLDING then return end
local now, expected, keys = clock(ARGV[1]), numbers(ARGV[3]), record.keys
read_accounts(keys)
for i, key in ipairs(keys) do
  local at = STANDING + 3 * i - 2
  local state, before = states[key], record[at]
  local amount = expected[state[UNIT]]
  if amount ~= amount then amount = 0 end
  if state[WAITS] == 1 and amount ~= before then
    set_room(key, refilled(state, now) + before - amount, now)
    record[at] = amount
  end
end
write_accounts()
write_open(ARGV[2], record)
