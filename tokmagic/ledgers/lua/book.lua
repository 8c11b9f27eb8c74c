-- The book in Redis: what every script begins with. All keys begin with KEYS[1], a hash tag, so they share one slot.
--   e, x     entries by id: as reserved, and how they ended (a letter for the state, then the new values)
--   o        what is still open: whose, its charge, where it is summed, and on which accounts it stands
--   lease    open holds by the end of their lease       time, time:<session>    ids in order, by time
--   a:<key>  an account                                 by:<scope>:<id>         accounts by scope, scored by their end
--   t:<slot> sums of a minute, by row                  slots, slots:<session>  which of them there are
--   c        by call, the rows it ended in              spanning                calls that ended in several rows
--   q, n     places in the queue, and notes
-- Amounts are whole numbers below 2^53, which a Lua number holds exactly. Times are seconds.
local P = KEYS[1]
local call = redis.call
local UNITS = 5

local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function text(number) return string.format('%.17g', number) end

local function whole(number) return string.format('%.0f', number) end

-- Sums.

local function change_sums(record, measures, sign, calls)
  local at = P .. 't:' .. record.slot
  local packed = call('HGET', at, record.row)
  local sums = packed and cmsgpack.unpack(packed) or {0}
  sums[1] = sums[1] + calls
  for i, amount in ipairs(measures) do sums[i + 1] = (sums[i + 1] or 0) + sign * amount end
  call('HSET', at, record.row, cmsgpack.pack(sums))
  if not packed then
    call('ZADD', P .. 'slots', record.slot, record.slot)
    call('ZADD', P .. 'slots:' .. record.session, record.slot, record.slot)
  end
end

local function count_call(record, by)
  local packed = call('HGET', P .. 'c', record.call)
  local rows = packed and cmsgpack.unpack(packed) or {}
  local row = record.slot .. ' ' .. record.row
  local before = rows[row] or 0
  local after = before + by
  rows[row] = after > 0 and after or nil
  call('HSET', P .. 'c', record.call, cmsgpack.pack(rows))
  if before == 0 and next(rows, next(rows)) then call('SADD', P .. 'spanning', record.call) end
  return (after > 0 and 1 or 0) - (before > 0 and 1 or 0)
end

local function add(record, measures) change_sums(record, measures, 1, count_call(record, 1)) end

local function take_out(record) change_sums(record, record.measures, -1, count_call(record, -1)) end

-- Accounts.

local ACCOUNT = {'key', 'full', 'unit', 'amount', 'seconds', 'since', 'until', 'scope', 'id', 'models', 'play', 'cap', 'alone'}

local function account_of(values)
  local account = {}
  for i, name in ipairs(ACCOUNT) do account[name] = values[i] end
  account['until'] = account['until'] or math.huge
  return account
end

local function refill(account, room, seconds)
  return math.min(account.amount, room + math.max(0, seconds) * (account.amount / account.seconds))
end

local function write_room(account, room, now)
  call('HSET', P .. 'a:' .. account.key, 'amount', whole(account.amount), 'room', text(room), 'at', text(now))
end

local function change(key, spent, held)
  if spent ~= 0 then call('HINCRBY', P .. 'a:' .. key, 'spent', whole(spent)) end
  if held ~= 0 then call('HINCRBY', P .. 'a:' .. key, 'held', whole(held)) end
end

-- The account as the book has it, refilled up to now; for accounts whose caller does not know them.
local function kept(key, now)
  local row = call('HMGET', P .. 'a:' .. key, 'full', 'unit', 'amount', 'seconds', 'since', 'models', 'play', 'room', 'at')
  if not row[1] then return nil end
  local account = {key = key, full = row[1], unit = tonumber(row[2]), amount = tonumber(row[3]), cap = false}
  account.seconds, account.since = tonumber(row[4]), tonumber(row[5])
  account.models, account.play = row[6], tonumber(row[7])
  if account.full == 'wait' then account.room = refill(account, tonumber(row[8]), now - tonumber(row[9])) end
  return account
end

-- A shell pattern over model names, in lower case, as a pattern of Lua.
local function covers(models, model)
  if models == '*' then return true end
  local pattern, i = {'^'}, 1
  while i <= #models do
    local sign = models:sub(i, i)
    local stop = sign == '[' and models:find(']', models:sub(i + 1, i + 1) == '!' and i + 3 or i + 2, true)
    if sign == '*' then pattern[#pattern + 1] = '.*'
    elseif sign == '?' then pattern[#pattern + 1] = '.'
    elseif stop then
      local set = models:sub(i + 1, stop - 1):gsub('%%', '%%%%')
      if set:sub(1, 1) == '!' then set = '^' .. set:sub(2) elseif set:sub(1, 1) == '^' then set = '%' .. set end
      pattern[#pattern + 1] = '[' .. set .. ']'
      i = stop
    else pattern[#pattern + 1] = sign:gsub('%W', '%%%0') end
    i = i + 1
  end
  return model:lower():find(table.concat(pattern) .. '$') ~= nil
end

local function stand(record, account)
  local ceiling, expected = record.ceiling[account.unit] or 0, record.expected[account.unit] or 0
  record.holds[#record.holds + 1] = {account.key, ceiling, expected}
  return ceiling, expected
end

local function within(account, at, play, id, model)
  return at >= account.since and at < account['until'] and play == account.play and id == account.id
    and covers(account.models, model)
end

-- What the entries in a new account's window and scope come to; those that are open get their holds.
local function earlier(account)
  local spent, held = 0, 0
  local open = call('HGETALL', P .. 'o')
  for i = 1, #open, 2 do
    local record = cmsgpack.unpack(open[i + 1])
    if within(account, record.at, record.play, record[account.scope], record.model) then
      local ceiling = stand(record, account)
      if record.state == 'h' then held = held + ceiling end
      call('HSET', P .. 'o', open[i], cmsgpack.pack(record))
    end
  end
  local slots = account.scope == 'session' and 'slots:' .. account.id or 'slots'
  local from, to = math.floor(account.since / 60), account['until'] / 60
  for _, slot in ipairs(call('ZRANGEBYSCORE', P .. slots, from, to == math.huge and '+inf' or '(' .. text(to))) do
    local rows = call('HGETALL', P .. 't:' .. slot)
    for i = 1, #rows, 2 do
      local row = cjson.decode(rows[i])
      local at = tonumber(slot) * 60
      if within(account, at, row.play, row[account.scope], row.model) then
        spent = spent + (cmsgpack.unpack(rows[i + 1])[1 + account.unit] or 0)
      end
    end
  end
  return spent, held
end

local function open_account(account, now)
  local spent, held = 0, 0
  if account.full == 'refuse' then spent, held = earlier(account) end
  call('HSET', P .. 'a:' .. account.key, 'full', account.full, 'unit', account.unit, 'amount', whole(account.amount),
    'seconds', account.seconds, 'since', text(account.since), 'models', account.models, 'play', account.play,
    'spent', whole(spent), 'held', whole(held), 'room', whole(account.amount), 'at', text(now))
  local ends = account['until'] == math.huge and '+inf' or text(account['until'])
  call('ZADD', P .. 'by:' .. account.scope .. ':' .. account.id, ends, account.key)
  return spent, held
end

-- How full an account is: adds spent and held, or room, to it.
local function standing(account, now)
  account.spent, account.held, account.room, account.ahead = 0, 0, 0, 0
  if account.alone then return end
  local row = call('HMGET', P .. 'a:' .. account.key, 'spent', 'held', 'room', 'at')
  if not row[1] then
    account.spent, account.held = open_account(account, now)
    if account.full == 'wait' then account.room = account.amount end
  elseif account.full == 'refuse' then
    account.spent, account.held = tonumber(row[1]), tonumber(row[2])
  else
    account.room = refill(account, tonumber(row[3]), now - tonumber(row[4]))
    if now < tonumber(row[4]) then write_room(account, account.room, now) end
  end
end

-- The queue.

local function queue(now)
  local places = {}
  local rows = call('HGETALL', P .. 'q')
  for i = 1, #rows, 2 do
    local place = cmsgpack.unpack(rows[i + 1])
    if place.lease < now or place.asked > now then call('HDEL', P .. 'q', rows[i]) else places[rows[i]] = place end
  end
  return places
end

local function ahead(places, key, ticket)
  local own, needed = places[ticket] and places[ticket].place or math.huge, 0
  for other, place in pairs(places) do
    if other ~= ticket and place.place < own then needed = needed + (place.needs[key] or 0) end
  end
  return needed
end

local function levels(list, places, ticket, now)
  local accounts = {}
  for i, values in ipairs(cjson.decode(list)) do
    local account = account_of(values)
    standing(account, now)
    if account.full == 'wait' then account.ahead = ahead(places, account.key, ticket) end
    accounts[i] = account
  end
  return accounts
end

local function told(word, accounts)
  local reply = {word}
  for i, account in ipairs(accounts) do
    reply[i + 1] = {whole(account.spent), whole(account.held), text(account.room), whole(account.ahead)}
  end
  return reply
end

-- Ends.

local function charge_at_ceiling(id, record, ended, measures)
  if record.state == 'u' then
    take_out(record)
  else
    for _, hold in ipairs(record.holds) do
      if call('HGET', P .. 'a:' .. hold[1], 'full') == 'refuse' then change(hold[1], hold[2], -hold[2]) end
    end
  end
  add(record, measures)
  record.state, record.measures = 'u', measures
  call('HSET', P .. 'o', id, cmsgpack.pack(record))
  call('HSET', P .. 'x', id, ended)
  call('ZREM', P .. 'lease', id)
end

local function at_ceiling(record)
  local c = record.ceiling
  local measures = {}
  for unit = 1, UNITS do measures[unit] = c[unit] or 0 end
  for _, used in ipairs({c[2], 0, 0, 0, c[3], 0}) do measures[#measures + 1] = used end
  for _, quality in ipairs(c[5] and {0, 1, 0, 0} or {0, 0, 0, 1}) do measures[#measures + 1] = quality end
  for _, more in ipairs({c[5] or 0, c[5] and 0 or 1, record.waited, record.delays, record.dropped}) do
    measures[#measures + 1] = more
  end
  return measures
end

local function sweep(now)
  local gone = call('ZRANGEBYSCORE', P .. 'lease', '-inf', '(' .. text(now))
  for _, id in ipairs(gone) do
    local record = cmsgpack.unpack(call('HGET', P .. 'o', id))
    charge_at_ceiling(id, record, 'u@' .. text(now), at_ceiling(record))
  end
  return #gone
end

-- What replies teach: notes as {name, old, new}, rooms as {key, room}. The name of a note that has changed meanwhile.

local function stale(notes)
  for _, note in ipairs(notes) do
    if (call('HGET', P .. 'n', note[1]) or '') ~= note[2] then return note[1] end
  end
end

local function write_notes(notes)
  for _, note in ipairs(notes) do call('HSET', P .. 'n', note[1], note[3]) end
end

local function lower(rooms, now)
  for _, room in ipairs(rooms) do
    local account = kept(room[1], now)
    if account then write_room(account, math.min(account.room or 0, room[2]), now) end
  end
end
