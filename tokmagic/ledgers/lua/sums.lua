-- Sums of what ended. A row is a text that says who, where and which model.

local function change_sums(slot, row, session, added, sign, calls)
  local at = P .. 't:' .. slot
  local packed = call('HGET', at, row)
  local sums = packed and numbers(packed) or {0}
  sums[1] = sums[1] + calls
  for i, amount in ipairs(numbers(added)) do sums[i + 1] = (sums[i + 1] or 0) + sign * amount end
  call('HSET', at, row, struct.pack('<' .. ('d'):rep(#sums), unpack(sums)))
  if not packed then
    call('ZADD', P .. 'slots', slot, slot)
    call('ZADD', P .. 'slots:' .. session, slot, slot)
  end
end

-- Change how many entries of a call ended in that row; whether the call came to the row, left it, or neither.
local function count_call(name, slot, row, by)
  local place = slot .. ' ' .. row
  if by == 1 and call('HSETNX', P .. 'c', name, cmsgpack.pack({[place] = 1})) == 1 then return 1 end
  local rows = cmsgpack.unpack(call('HGET', P .. 'c', name))
  local before = rows[place] or 0
  local after = before + by
  rows[place] = after > 0 and after or nil
  if next(rows) then call('HSET', P .. 'c', name, cmsgpack.pack(rows)) else call('HDEL', P .. 'c', name) end
  if before == 0 and next(rows, next(rows)) then call('SADD', P .. 'spanning', name) end
  return (after > 0 and 1 or 0) - (before > 0 and 1 or 0)
end
