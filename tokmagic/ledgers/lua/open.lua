-- An open entry: its state, its number, its time, and what it added to the sums where it is not held any more; then, for
-- each account it stands on, the key, the unit, its ceiling and its expected use.
local HOLDING, UNSETTLED = 0, 1
local STATE_OF, NUMBER, TIME, ADDED, STANDING, PER_STANDING = 1, 2, 3, 4, 5, 4

local function open_entry(id)
  local packed = call('HGET', P .. 'o', id)
  return packed and cmsgpack.unpack(packed)
end

local function write_open(id, record) call('HSET', P .. 'o', id, cmsgpack.pack(record)) end

-- Let an entry stand on an account; an unknown price counts for nothing there.
local function stand(record, key, unit, ceiling, expected)
  local n = #record
  if ceiling ~= ceiling then ceiling = 0 end
  if expected ~= expected then expected = 0 end
  record[n + 1], record[n + 2], record[n + 3], record[n + 4] = key, unit, ceiling, expected
  return ceiling, expected
end

-- The keys of the accounts it stands on.
local function stood_on(record)
  local keys = {}
  for i = STANDING, #record, PER_STANDING do keys[#keys + 1] = record[i] end
  return keys
end
