-- now, id, entry, record, end of lease (from now on where the clock is the server's), ticket, accounts
local now = clock(ARGV[1])
local id, ticket = ARGV[2], ARGV[6]
local open = call('HGET', P .. 'o', id)
if open and cmsgpack.unpack(open).state == 'h' then return {'known'} end
sweep(now)
local places = queue(now)
local accounts = levels(ARGV[7], places, ticket, now)
local record = cjson.decode(ARGV[4])

local function lacks(account)
  if account.full ~= 'wait' then return 0 end
  local needed = record.expected[account.unit]
  if needed == 0 then return 0 end
  local seconds = (needed + account.ahead - account.room) / (account.amount / account.seconds)
  return seconds > 0.001 and seconds or 0
end

local function refuses(account)
  local refusing = account.full == 'refuse'
  local needed = (refusing and record.ceiling or record.expected)[account.unit]
  if not needed then return true end
  return needed > account.amount - (refusing and account.spent + account.held or 0)
end

local function wait(seconds)
  local last = 0
  for _, place in pairs(places) do last = math.max(last, place.place) end
  local mine = places[ticket] or {place = last + 1, needs = {}}
  mine.asked, mine.lease = now, now + seconds + 5
  for _, account in ipairs(accounts) do
    if lacks(account) > 0 then mine.needs[account.key] = record.expected[account.unit] end
  end
  call('HSET', P .. 'q', ticket, cmsgpack.pack(mine))
  write_accounts()
  return told('wait', accounts)
end

local function hold(key, cap)
  local state = states[key]
  local ceiling, expected = stand(record, key)
  if state[FULL] == 'refuse' then return change(key, 0, ceiling) end
  local room = refilled(state, now)
  if cap and expected ~= 0 then room = math.min(room, cap) end
  set_room(key, room - expected, now)
end

local function hold_on_others()
  local scopes, asked = {}, {}
  for _, account in ipairs(accounts) do asked[account.key] = true end
  for i, scope in ipairs({'session', 'notebook', 'key', 'user', 'team'}) do scopes[i] = scope .. ':' .. record[scope] end
  for _, key in ipairs(others(scopes, record.at, asked)) do
    if within(states[key], record.at, record.play, record.model) then hold(key) end
  end
end

local longest = 0
for _, account in ipairs(accounts) do
  if refuses(account) then
    call('HDEL', P .. 'q', ticket)
    write_accounts()
    return told('refused', accounts)
  end
  longest = math.max(longest, lacks(account))
end
if longest > 0 then return wait(longest) end

if call('HSETNX', P .. 'e', id, ARGV[3]) == 0 then
  write_accounts()
  return {'ended'}
end
if places[ticket] then call('HDEL', P .. 'q', ticket) end
record.state, record.holds = 'h', {}
record.number = call('ZCARD', P .. 'time')
hold_on_others()
for _, account in ipairs(accounts) do
  if not account.alone then hold(account.key, account.cap) end
end
write_accounts()
local member = string.format('%015d', record.number) .. id
call('HSET', P .. 'o', id, cmsgpack.pack(record))
call('ZADD', P .. 'lease', ARGV[1] == '' and text(now + tonumber(ARGV[5])) or ARGV[5], id)
call('ZADD', P .. 'time', text(record.at), member)
call('ZADD', P .. 'time:' .. record.session, text(record.at), member)
return told('admitted', accounts)
