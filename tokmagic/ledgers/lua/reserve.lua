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
  return told('wait', accounts)
end

local function hold(account)
  local ceiling, expected = stand(record, account)
  if account.full == 'refuse' then return change(account.key, 0, ceiling) end
  local room = account.room
  if account.cap and expected ~= 0 then room = math.min(room, account.cap) end
  write_room(account, room - expected, now)
end

local function hold_on_others(asked)
  for _, scope in ipairs({'session', 'notebook', 'key', 'user', 'team'}) do
    for _, key in ipairs(call('ZRANGEBYSCORE', P .. 'by:' .. scope .. ':' .. record[scope], '(' .. text(record.at), '+inf')) do
      local account = not asked[key] and kept(key, now)
      if account and account.since <= record.at and account.play == record.play and covers(account.models, record.model) then
        hold(account)
      end
    end
  end
end

local longest = 0
for _, account in ipairs(accounts) do
  if refuses(account) then
    call('HDEL', P .. 'q', ticket)
    return told('refused', accounts)
  end
  longest = math.max(longest, lacks(account))
end
if longest > 0 then return wait(longest) end

if call('HSETNX', P .. 'e', id, ARGV[3]) == 0 then return {'ended'} end
if places[ticket] then call('HDEL', P .. 'q', ticket) end
record.state, record.holds = 'h', {}
record.number = call('ZCARD', P .. 'time')
local asked = {}
for _, account in ipairs(accounts) do
  if not account.alone then
    hold(account)
    asked[account.key] = true
  end
end
hold_on_others(asked)
local member = string.format('%015d', record.number) .. id
call('HSET', P .. 'o', id, cmsgpack.pack(record))
call('ZADD', P .. 'lease', ARGV[1] == '' and text(now + tonumber(ARGV[5])) or ARGV[5], id)
call('ZADD', P .. 'time', text(record.at), member)
call('ZADD', P .. 'time:' .. record.session, text(record.at), member)
return told('admitted', accounts)
