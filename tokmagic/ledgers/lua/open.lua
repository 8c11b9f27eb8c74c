-- An open entry, packed: how many accounts it stands on, its state, number and time; of each account its ceiling, its
-- expected use and how long its key is; then the keys, and what it added to the sums where it is not held any more.
local HOLDING, UNSETTLED = 0, 1
local STATE_OF, NUMBER, TIME, STANDING = 2, 3, 4, 5

local function open_entry(id)
  local packed = call('HGET', P .. 'o', id)
  if not packed then return end
  local many = struct.unpack('<d', packed)
  local stop = 32 + 24 * many
  local record, keys = numbers(packed:sub(1, stop)), {}
  for i = 1, many do
    local length = record[STANDING + 3 * i - 1]
    keys[i] = packed:sub(stop + 1, stop + length)
    stop = stop + length
  end
  record.keys, record.added = keys, packed:sub(stop + 1)
  return record
end

local function stand(record, key, ceiling, expected)
  local keys, n = record.keys, #record
  keys[#keys + 1] = key
  record[1] = #keys
  record[n + 1], record[n + 2], record[n + 3] = ceiling, expected, #key
end

local function write_open(id, record)
  local packed = struct.pack('<' .. ('d'):rep(#record), unpack(record))
  call('HSET', P .. 'o', id, packed .. table.concat(record.keys) .. record.added)
end
