-- now, where a value stands in an entry and in a row of the sums, then accounts: those that are new begin with what the
-- entries in their window and scope come to. Each is its key, its amount and the seconds that refill it, its facts, its
-- scope and whose it is.
local now, PLACES = clock(ARGV[1]), cjson.decode(ARGV[2])
-- Seconds for which a window that is over stays known to calls whose clocks may be late.
local PAST = 172800

-- What is held, and charged while unsettled, of the open entries; they stand on the account from now on.
local function open_earlier(key, state, facts, scope, id)
  local unit = struct.unpack(FACTS, facts)
  for _, entry_id in ipairs(call('HKEYS', P .. 'o')) do
    local entry, record = cjson.decode(call('HGET', P .. 'e', entry_id)), open_entry(entry_id)
    local function of(name) return entry[PLACES.entry[name]] end
    local function amount(name)
      local value = of(name .. PLACES.units[unit])
      return value ~= cjson.null and value or 0
    end
    if of(scope) == id and within(facts, of('at'), of('play') and 1 or 0, of('model')) then
      local ceiling = amount('charge.ceiling.')
      stand(record, key, unit, ceiling, amount('charge.expected.'))
      if record[STATE_OF] == HOLDING then state[HELD] = state[HELD] + ceiling end
      write_open(entry_id, record)
    end
  end
end

local function sum_earlier(state, facts, scope, id)
  local unit, since = struct.unpack(FACTS, facts)
  local slots = scope == 'session' and 'slots:session:' .. id or 'slots'
  for _, slot in ipairs(call('ZRANGEBYSCORE', P .. slots, math.floor(since / 60), '+inf')) do
    local rows = call('HGETALL', P .. 't:' .. slot)
    for i = 1, #rows, 2 do
      local row = cjson.decode(rows[i])
      local function of(name) return row[PLACES.row[name]] end
      if of(scope) == id and within(facts, tonumber(slot) * 60, of('play'), of('model')) then
        state[SPENT] = state[SPENT] + numbers(rows[i + 1])[1 + unit]
      end
    end
  end
end

local function register(key, facts, scope)
  local _, _, ending = struct.unpack(FACTS, facts)
  local packed = call('HGET', P .. 'a', scope)
  local keys, known = packed and cmsgpack.unpack(packed) or {}, {key, ending}
  for i = 1, #keys, 2 do
    if keys[i + 1] > now - PAST then
      known[#known + 1] = keys[i]
      known[#known + 1] = keys[i + 1]
    end
  end
  call('HSET', P .. 'a', scope, cmsgpack.pack(known))
  call('HSET', P .. 'f', key, facts)
end

for i = 3, #ARGV, 5 do
  local key, facts, scope, id = ARGV[i], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  read_accounts({key})
  if not states[key] then
    local amount, seconds = struct.unpack('<dd', ARGV[i + 1])
    local state = seconds > 0 and {amount, now, amount, seconds} or {0, 0, amount, 0}
    states[key], changed[key] = state, true
    if seconds == 0 then
      open_earlier(key, state, facts, scope, id)
      sum_earlier(state, facts, scope, id)
    end
    register(key, facts, scope .. ':' .. id)
  end
end
write_accounts()
return 'd'
