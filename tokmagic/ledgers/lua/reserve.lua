-- now, id, entry, ticket, model, numbers, what is asked of the accounts, its five scopes, then the accounts' keys. The
-- numbers are its time, the end of its lease (from now on where the clock is the server's), play, and its charge.
-- Says k for an id that is held, e for one that has ended, x where a lease has ended, n for a new account: then nothing
-- has happened. Else a for admitted, w for wait, r for refused, with the levels as they were before.
local now, id, ticket, given, asked = clock(ARGV[1]), ARGV[2], ARGV[4], numbers(ARGV[6]), ARGV[7]
local FIRST_SCOPE, SCOPES = 8, 5
local KEYS_AFTER = FIRST_SCOPE + SCOPES - 1
local at, lease_end, play, CEILING, EXPECTED = given[1], given[2], given[3], 3, 8

local function known()
  local record = open_entry(id)
  return record and record[STATE_OF] == HOLDING
end

local lease = call('ZRANGE', P .. 'lease', 0, 0, 'WITHSCORES')
if lease[1] and tonumber(lease[2]) < now then return known() and 'k' or 'x' end

-- Each account: how full it is, whether that refuses the call, and the seconds until it has room.
local found = call('HMGET', P .. 'a', unpack(ARGV, FIRST_SCOPE))
local places, levels, lacking, units, caps = queue(now), {''}, {}, {}, {}
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
    units[key], caps[key] = unit, cap
  end
  levels[i + 1] = struct.pack('<dddd', spent, held, room, ahead)
  if state and state[SECONDS] > 0 then
    local needed = given[EXPECTED + unit]
    refused = refused or not (needed <= amount)
    local seconds = (needed + ahead - room) / (amount / state[SECONDS])
    if needed ~= 0 and seconds > 0.001 then
      lacking[key] = needed
      longest = math.max(longest, seconds)
    end
  else
    refused = refused or not (given[CEILING + unit] <= amount - spent - held)
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
local others = {}
for scope = 1, SCOPES do
  local keys = found[scope] and cmsgpack.unpack(found[scope]) or {}
  for i = 1, #keys, 2 do
    if keys[i + 1] > at and not units[keys[i]] then others[#others + 1] = keys[i] end
  end
end
if #others > 0 then
  read_accounts(others)
  for i, facts in ipairs(call('HMGET', P .. 'f', unpack(others))) do
    if within(facts, at, play, ARGV[5]) then units[others[i]] = struct.unpack(FACTS, facts) end
  end
end

local number = call('HLEN', P .. 'e')
local record = {HOLDING, number, at, ''}
for key, unit in pairs(units) do
  local state = states[key]
  local ceiling, expected = stand(record, key, unit, given[CEILING + unit], given[EXPECTED + unit])
  if state[SECONDS] == 0 then
    state[HELD] = state[HELD] + ceiling
  else
    local room = refilled(state, now)
    if expected ~= 0 then room = math.min(room, caps[key] or room) end
    state[ROOM], state[AT] = room - expected, now
  end
  changed[key] = true
end
write_accounts()
write_open(id, record)
call('ZADD', P .. 'lease', ARGV[1] == '' and now + lease_end or lease_end, id)

local slot, place = slot_of(at), struct.pack('<d', at) .. id
for _, whose in ipairs({'', ':' .. ARGV[FIRST_SCOPE]}) do
  local many = call('RPUSH', P .. 'ids' .. whose .. ':' .. slot, place)
  if many == 1 then call('ZADD', P .. 'slots' .. whose, slot, slot) end
end
return told('a')
