-- Accounts, by key, packed as doubles. A budget is what is spent and held. A bucket is its room, the time up to which it
-- is refilled, its amount, and the seconds that refill it, which are 0 for a budget. Each is read once and written once
-- by a script.
local SPENT, HELD = 1, 2
local ROOM, AT, AMOUNT, SECONDS = 1, 2, 3, 4
local STATE = '<dddd'
local states, changed = {}, {}

local function read_account(key, packed)
  local state = {struct.unpack(STATE, packed)}
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
    fields[n + 1], fields[n + 2] = key, struct.pack(STATE, state[1], state[2], state[3], state[4])
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
