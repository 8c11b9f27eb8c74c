-- now, id, entry, its time, end of lease (from now on where the clock is the server's), ticket, session, its charge,
-- play, model, what is asked of the accounts, its five scopes, then the accounts' keys.
-- Says k for an id that is held, e for one that has ended, x where a lease has ended, n for a new account: then nothing
-- has happened. Else a for admitted, w for wait, r for refused, with the levels as they were before.
local now, id, ticket = clock(ARGV[1]), ARGV[2], ARGV[6]
local KEYS_AFTER, SCOPES = 16, 5
local asked, charge = ARGV[11], {struct.unpack('<dddddddddd', ARGV[8])}

local function known()
  local record = open_entry(id)
  return record and record[STATE_OF] == HOLDING
end

local lease = call('ZRANGE', P .. 'lease', 0, 0, 'WITHSCORES')
if lease[1] and tonumber(lease[2]) < now then return known() and 'k' or 'x' end

-- Each account: how full it is, whether that refuses the call, and the seconds until it has room.
local found = call('HMGET', P .. 'a', unpack(ARGV, KEYS_AFTER - SCOPES + 1))
local places, levels, lacking, caps = queue(now), {''}, {}, {}
local refused, longest = false, 0
for i = 1, #ARGV - KEYS_AFTER do
  local key, packed = ARGV[KEYS_AFTER + i], found[SCOPES + i]
  local unit, amount, cap, alone = struct.unpack(ASKED, asked, (i - 1) * PER_ACCOUNT + 1)
  local spent, held, room, ahead = 0, 0, 0, 0
  local state
  if alone == 0 then
    if not packed then return 'n' end
    state = read_account(key, packed)
    spent, held, room, ahead = standing(key, state, amount, places, ticket, now)
    caps[key] = cap
  end
  levels[i + 1] = struct.pack('<dddd', spent, held, room, ahead)
  if state and state[WAITS] == 1 then
    local needed = charge[5 + unit]
    refused = refused or not (needed <= amount)
    local seconds = (needed + ahead - room) / (amount / state[SECONDS])
    if needed ~= 0 and seconds > 0.001 then
      lacking[key] = needed
      longest = math.max(longest, seconds)
    end
  else
    refused = refused or not (charge[unit] <= amount - spent - held)
  end
end

local function told(word)
  levels[1] = word
  return table.concat(levels)
end

local function wait()
  local last = 0
  for _, place in pairs(places) do last = math.max(last, place.place) end
  local mine = places[ticket] or {place = last + 1, needs = {}}
  mine.asked, mine.lease = now, now + longest + 5
  for key, needed in pairs(lacking) do mine.needs[key] = needed end
  call('HSET', P .. 'q', ticket, cmsgpack.pack(mine))
  write_accounts()
  return told('w')
end

if refused then
  if known() then return 'k' end
  call('HDEL', P .. 'q', ticket)
  write_accounts()
  return told('r')
end
if longest > 0 then return known() and 'k' or wait() end
if call('HSETNX', P .. 'e', id, ARGV[3]) == 0 then return known() and 'k' or 'e' end
if places[ticket] then call('HDEL', P .. 'q', ticket) end

-- The accounts its scopes have in other windows and for other limits count it, too.
local at, others = tonumber(ARGV[4]), {}
for scope = 1, SCOPES do
  local keys = found[scope] and cmsgpack.unpack(found[scope]) or {}
  for i = 1, #keys, 2 do
    if keys[i + 1] > at and not caps[keys[i]] then others[#others + 1] = keys[i] end
  end
end
read_accounts(others)
for _, key in ipairs(others) do
  if within(states[key], at, tonumber(ARGV[9]), ARGV[10]) then caps[key] = math.huge end
end

local number = call('ZCARD', P .. 'time')
local record = {0, HOLDING, number, at, keys = {}, added = ''}
for key, cap in pairs(caps) do
  local state = states[key]
  local ceiling, expected = charge[state[UNIT]], charge[5 + state[UNIT]]
  if ceiling ~= ceiling then ceiling = 0 end
  if expected ~= expected then expected = 0 end
  stand(record, key, ceiling, expected)
  changed[key] = true
  if state[WAITS] == 0 then
    state[HELD] = state[HELD] + ceiling
  else
    local room = refilled(state, now)
    if expected ~= 0 then room = math.min(room, cap) end
    state[ROOM], state[AT] = room - expected, now
  end
end
write_accounts()
local member = ('%015d'):format(number) .. id
write_open(id, record)
call('ZADD', P .. 'lease', ARGV[1] == '' and ('%.6f'):format(now + ARGV[5]) or ARGV[5], id)
call('ZADD', P .. 'time', ARGV[4], member)
call('ZADD', P .. 'time:' .. ARGV[7], ARGV[4], member)
return told('a')
