-- The book in Redis: what every script begins with. All keys begin with KEYS[1], a hash tag, so they share one slot.
--   e, x     entries by id: as reserved, and how they ended (a letter for the state, then the new values)
--   o        what is still open: whose, its charge, where it is summed, and on which accounts it stands
--   lease    open holds by the end of their lease       time, time:<session>    ids in order, by time
--   a, by    accounts by key, and the keys of each scope with the end of their windows
--   t:<slot> sums of a minute, by row                  slots, slots:<session>  which of them there are
--   c        by call, the rows it ended in              spanning                calls that ended in several rows
--   q, n     places in the queue, and notes
-- Amounts are whole numbers below 2^53, which a Lua number holds exactly. Times are seconds.
local P = KEYS[1]
local call = redis.call
local UNITS = 5
-- Seconds for which a window that is over stays known to calls whose clocks may be late.
local PAST = 172800

local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function text(number) return string.format('%.17g', number) end

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

-- Accounts: read once and written once by each script.

local FULL, UNIT, AMOUNT, SECONDS, SINCE, UNTIL, MODELS, PLAY, SPENT, HELD, ROOM, AT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
local states, changed = {}, {}

local function read_accounts(keys)
  if #keys == 0 then return end
  for i, packed in ipairs(call('HMGET', P .. 'a', unpack(keys))) do
    if packed then states[keys[i]] = cmsgpack.unpack(packed) end
  end
end

local function write_accounts()
  local fields = {}
  for key in pairs(changed) do
    fields[#fields + 1] = key
    fields[#fields + 1] = cmsgpack.pack(states[key])
  end
  if #fields > 0 then call('HSET', P .. 'a', unpack(fields)) end
end

local function change(key, spent, held)
  local state = states[key]
  state[SPENT], state[HELD] = state[SPENT] + spent, state[HELD] + held
  changed[key] = true
end

local function set_room(key, room, now)
  local state = states[key]
  state[ROOM], state[AT] = room, now
  changed[key] = true
end

-- The room of a bucket, refilled up to now.
local function refilled(state, now)
  local filled = state[ROOM] + math.max(0, now - state[AT]) * (state[AMOUNT] / state[SECONDS])
  return math.min(state[AMOUNT], filled)
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

-- Note in the record of an entry that it stands on that account.
local function stand(record, key)
  local unit = states[key][UNIT]
  local ceiling, expected = record.ceiling[unit] or 0, record.expected[unit] or 0
  record.holds[#record.holds + 1] = {key, ceiling, expected}
  return ceiling, expected
end

local function within(state, at, play, model)
  return at >= state[SINCE] and at < state[UNTIL] and play == state[PLAY] and covers(state[MODELS], model)
end

-- What the entries in a new account's window and scope come to; those that are open get their holds.
local function earlier(account, state)
  local open = call('HGETALL', P .. 'o')
  for i = 1, #open, 2 do
    local record = cmsgpack.unpack(open[i + 1])
    if record[account.scope] == account.id and within(state, record.at, record.play, record.model) then
      local ceiling = stand(record, account.key)
      if record.state == 'h' then state[HELD] = state[HELD] + ceiling end
      call('HSET', P .. 'o', open[i], cmsgpack.pack(record))
    end
  end
  local slots = account.scope == 'session' and 'slots:' .. account.id or 'slots'
  for _, slot in ipairs(call('ZRANGEBYSCORE', P .. slots, math.floor(state[SINCE] / 60), '+inf')) do
    local rows = call('HGETALL', P .. 't:' .. slot)
    for i = 1, #rows, 2 do
      local row = cjson.decode(rows[i])
      if row[account.scope] == account.id and within(state, tonumber(slot) * 60, row.play, row.model) then
        state[SPENT] = state[SPENT] + (cmsgpack.unpack(rows[i + 1])[1 + state[UNIT]] or 0)
      end
    end
  end
end

local function open_account(account, now)
  local state = {
    account.full, account.unit, account.amount, account.seconds, account.since, account['until'], account.models,
    account.play, 0, 0, account.amount, now,
  }
  states[account.key], changed[account.key] = state, true
  if account.full == 'refuse' then earlier(account, state) end
  local scope = account.scope .. ':' .. account.id
  local packed = call('HGET', P .. 'by', scope)
  local known = {account.key, state[UNTIL]}
  local keys = packed and cmsgpack.unpack(packed) or {}
  for i = 1, #keys, 2 do
    if keys[i + 1] > now - PAST then
      known[#known + 1] = keys[i]
      known[#known + 1] = keys[i + 1]
    end
  end
  call('HSET', P .. 'by', scope, cmsgpack.pack(known))
end

-- The accounts that scopes have in windows that end after a time, besides those that were asked for.
local function others(scopes, time, asked)
  local keys, unread = {}, {}
  for _, packed in ipairs(call('HMGET', P .. 'by', unpack(scopes))) do
    local known = packed and cmsgpack.unpack(packed) or {}
    for i = 1, #known, 2 do
      local key = known[i]
      if known[i + 1] > time and not asked[key] then
        keys[#keys + 1] = key
        if not states[key] then unread[#unread + 1] = key end
      end
    end
  end
  read_accounts(unread)
  return keys
end

-- How full an account is: adds spent and held, or room, to it.
local function standing(account, now)
  account.spent, account.held, account.room, account.ahead = 0, 0, 0, 0
  if account.alone then return end
  if not states[account.key] then open_account(account, now) end
  local state = states[account.key]
  if account.full == 'refuse' then
    account.spent, account.held = state[SPENT], state[HELD]
    return
  end
  state[AMOUNT] = account.amount
  account.room = refilled(state, now)
  if now < state[AT] then set_room(account.key, account.room, now) end
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

local ACCOUNT = {'key', 'full', 'unit', 'amount', 'seconds', 'since', 'until', 'scope', 'id', 'models', 'play', 'cap', 'alone'}

local function levels(list, places, ticket, now)
  local accounts, keys = {}, {}
  for i, values in ipairs(cjson.decode(list)) do
    local account = {}
    for at, name in ipairs(ACCOUNT) do account[name] = values[at] end
    account['until'] = account['until'] or math.huge
    accounts[i] = account
    if not states[account.key] then keys[#keys + 1] = account.key end
  end
  read_accounts(keys)
  for _, account in ipairs(accounts) do
    standing(account, now)
    if account.full == 'wait' then account.ahead = ahead(places, account.key, ticket) end
  end
  return accounts
end

local function told(word, accounts)
  local reply = {word}
  for i, account in ipairs(accounts) do
    reply[i + 1] = {account.spent, account.held, account.room == 0 and 0 or text(account.room), account.ahead}
  end
  return reply
end

-- Ends.

local function read_holds(record)
  local keys = {}
  for _, hold in ipairs(record.holds) do
    if not states[hold[1]] then keys[#keys + 1] = hold[1] end
  end
  read_accounts(keys)
end

local function charge_at_ceiling(id, record, ended, measures)
  if record.state == 'u' then
    take_out(record)
  else
    read_holds(record)
    for _, hold in ipairs(record.holds) do
      if states[hold[1]][FULL] == 'refuse' then change(hold[1], hold[2], -hold[2]) end
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
    if not states[room[1]] then read_accounts({room[1]}) end
    local state = states[room[1]]
    if state then set_room(room[1], math.min(refilled(state, now), room[2]), now) end
  end
end
