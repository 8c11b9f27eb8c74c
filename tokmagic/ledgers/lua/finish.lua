-- now, id, how it ends, new values, call, row, what it adds to the sums, what it used, lessons.
-- It ends settled, released, unsettled, or lapsed: unsettled only where its lease has ended.
-- Says d when done, e where it had ended before, u for an unknown id, s and the name of a note that has changed.
local now, id, ending = clock(ARGV[1]), ARGV[2], ARGV[3]
local LESSONS = 9
local record = open_entry(id)
if not record and call('HEXISTS', P .. 'x', id) == 0 then return 'u' end
local changed_note = stale(LESSONS)
if changed_note then return 's' .. changed_note end
if not record then
  keep(LESSONS, now)
  write_accounts()
  return 'e'
end

if ending == 'lapsed' then
  local lease = call('ZSCORE', P .. 'lease', id)
  if not lease or tonumber(lease) >= now then return 'e' end
end

local used, USED_EXPECTED = numbers(ARGV[8]), 5
local held, over = record[STATE_OF] == HOLDING, ending == 'settled' or ending == 'released'
read_accounts(stood_on(record))

local function charge(state, unit, ceiling)
  local truth = over and used[unit] or ceiling
  if truth ~= truth then truth = ceiling end
  state[SPENT] = state[SPENT] + truth - (held and 0 or ceiling)
  if held then state[HELD] = state[HELD] - ceiling end
end

local function give_back(state, unit, expected)
  local amount = unit == 1 and expected or used[USED_EXPECTED + unit]
  state[ROOM] = refilled(state, now) + (amount == amount and expected - amount or 0)
  state[AT] = now
end

for i = STANDING, #record, PER_STANDING do
  local key, unit = record[i], record[i + 1]
  local state = states[key]
  if state[SECONDS] == 0 then charge(state, unit, record[i + 2]) elseif over then give_back(state, unit, record[i + 3]) end
  changed[key] = true
end

local slot, row, added = slot_of(record[TIME]), ARGV[6], ARGV[7]
if not held then change_sums(slot, row, record[ADDED], -1, count_call(ARGV[5], slot, row, -1)) end
if ending ~= 'released' then change_sums(slot, row, added, 1, count_call(ARGV[5], slot, row, 1)) end
if over then
  call('HDEL', P .. 'o', id)
else
  record[STATE_OF], record[ADDED] = UNSETTLED, added
  write_open(id, record)
end
call('HSET', P .. 'x', id, ARGV[4])
if held then call('ZREM', P .. 'lease', id) end
keep(LESSONS, now)
write_accounts()
return 'd'
