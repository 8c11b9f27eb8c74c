-- now, id, how it ends, new values, call, row, session, what it adds to the sums, what it used, lessons.
-- It ends settled, released, unsettled, or lapsed: unsettled only where its lease has ended.
-- Says d when done, e where it had ended before, u for an unknown id, s and the name of a note that has changed.
local now, id, ending = clock(ARGV[1]), ARGV[2], ARGV[3]
local LESSONS = 10
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

local used, keys = numbers(ARGV[9]), record.keys
local held, over = record[STATE_OF] == HOLDING, ending == 'settled' or ending == 'released'
read_accounts(keys)

local function charge(state, ceiling)
  local truth = over and used[state[UNIT]] or ceiling
  if truth ~= truth then truth = ceiling end
  state[SPENT] = state[SPENT] + truth - (held and 0 or ceiling)
  if held then state[HELD] = state[HELD] - ceiling end
end

local function give_back(state, expected)
  local unit = state[UNIT]
  local amount = unit == 1 and expected or used[5 + unit]
  state[ROOM] = refilled(state, now) + (amount == amount and expected - amount or 0)
  state[AT] = now
end

for i, key in ipairs(keys) do
  local ceiling, expected = record[STANDING + 3 * i - 3], record[STANDING + 3 * i - 2]
  local state = states[key]
  if state[WAITS] == 0 then charge(state, ceiling) elseif over then give_back(state, expected) end
  changed[key] = true
end

local slot, row, session, added = ('%d'):format(math.floor(record[TIME] / 60)), ARGV[6], ARGV[7], ARGV[8]
if not held then change_sums(slot, row, session, record.added, -1, count_call(ARGV[5], slot, row, -1)) end
if ending ~= 'released' then change_sums(slot, row, session, added, 1, count_call(ARGV[5], slot, row, 1)) end
if over then
  call('HDEL', P .. 'o', id)
else
  record[STATE_OF], record.added = UNSETTLED, added
  write_open(id, record)
end
call('HSET', P .. 'x', id, ARGV[4])
if held then call('ZREM', P .. 'lease', id) end
keep(LESSONS, now)
write_accounts()
return 'd'
