-- now, where a value stands in an entry and in a row of the sums, then accounts: those that are new begin with what the
-- entries in their window and scope come to. Each is its key, its numbers, scope, id and models.
local now, PLACES = clock(ARGV[1]), cjson.decode(ARGV[2])
-- Seconds for which a window that is over stays known to calls whose clocks may be late.
local PAST = 172800

-- What is held, and charged while unsettled, of the open entries; they stand on the account from now on.
local function open_earlier(key, state, scope, id)
  for _, entry_id in ipairs(call('HKEYS', P .. 'o')) do
    local entry, record = cjson.decode(call('HGET', P .. 'e', entry_id)), open_entry(entry_id)
    local function of(name) return entry[PLACES.entry[name]] end
    if of(scope) == id and within(state, of('at'), of('play') and 1 or 0, of('model')) then
      local unit = PLACES.units[state[UNIT]]
      local ceiling, expected = of('charge.ceiling.' .. unit), of('charge.expected.' .. unit)
      ceiling = ceiling ~= cjson.null and ceiling or 0
      stand(record, key, ceiling, expected ~= cjson.null and expected or 0)
      if record[STATE_OF] == HOLDING then state[HELD] = state[HELD] + ceiling end
      write_open(entry_id, record)
    end
  end
end

local function sum_earlier(state, scope, id)
  local slots = scope == 'session' and 'slots:' .. id or 'slots'
  for _, slot in ipairs(call('ZRANGEBYSCORE', P .. slots, math.floor(state[SINCE] / 60), '+inf')) do
    local rows = call('HGETALL', P .. 't:' .. slot)
    for i = 1, #rows, 2 do
      local row = cjson.decode(rows[i])
      local function of(name) return row[PLACES.row[name]] end
      if of(scope) == id and within(state, tonumber(slot) * 60, of('play'), of('model')) then
        state[SPENT] = state[SPENT] + numbers(rows[i + 1])[1 + state[UNIT]]
      end
    end
  end
end

local function register(key, state, scope)
  local packed = call('HGET', P .. 'a', scope)
  local keys, known = packed and cmsgpack.unpack(packed) or {}, {key, state[UNTIL]}
  for i = 1, #keys, 2 do
    if keys[i + 1] > now - PAST then
      known[#known + 1] = keys[i]
      known[#known + 1] = keys[i + 1]
    end
  end
  call('HSET', P .. 'a', scope, cmsgpack.pack(known))
end

for i = 3, #ARGV, 5 do
  local key, scope, id = ARGV[i], ARGV[i + 2], ARGV[i + 3]
  read_accounts({key})
  if not states[key] then
    local state = numbers(ARGV[i + 1])
    state[SPENT], state[HELD], state[ROOM], state[AT], state[MODELS] = 0, 0, state[AMOUNT], now, ARGV[i + 4]
    states[key], changed[key] = state, true
    if state[WAITS] == 0 then
      open_earlier(key, state, scope, id)
      sum_earlier(state, scope, id)
    end
    register(key, state, scope .. ':' .. id)
  end
end
write_accounts()
return 'd'
