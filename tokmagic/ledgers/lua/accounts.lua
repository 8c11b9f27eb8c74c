-- Accounts, by key: numbers packed as doubles, then the models a limit is for. Each is read once and written once by a
-- script. In the same hash, by scope: the keys of its accounts, each with the end of its window.
local WAITS, UNIT, AMOUNT, SECONDS, SINCE, UNTIL, PLAY, SPENT, HELD, ROOM, AT, MODELS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
local STATE = '<ddddddddddd'
local states, changed = {}, {}

local function read_account(key, packed)
  local state = {struct.unpack(STATE, packed)}
  state[MODELS] = packed:sub(89)
  states[key] = state
  return state
end

local function read_accounts(keys)
  if #keys == 0 then return end
  for i, packed in ipairs(call('HMGET', P .. 'a', unpack(keys))) do
    if packed then read_account(keys[i], packed) end
  end
end

local function write_accounts()
  local fields, n = {}, 0
  for key in pairs(changed) do
    local state = states[key]
    fields[n + 1], fields[n + 2] = key, struct.pack(STATE, unpack(state, 1, AT)) .. state[MODELS]
    n = n + 2
  end
  if n > 0 then call('HSET', P .. 'a', unpack(fields)) end
end

-- The room of a bucket, refilled up to now.
local function refilled(state, now)
  local filled = state[ROOM] + math.max(0, now - state[AT]) * (state[AMOUNT] / state[SECONDS])
  return math.min(state[AMOUNT], filled)
end

local function set_room(key, room, now)
  local state = states[key]
  state[ROOM], state[AT] = room, now
  changed[key] = true
end
