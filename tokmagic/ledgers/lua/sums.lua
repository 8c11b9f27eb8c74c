-- Sums of what ended. A row is a text that says who, where and which model. The first number of what is added is 0, where
-- a row has its calls.

local function change_sums(slot, row, added, sign, calls)
  local at, format = P .. 't:' .. slot, '<' .. ('d'):rep(#added / 8)
  local packed, sums = call('HGET', at, row), {struct.unpack(format, added)}
  if packed then
    local before = {struct.unpack(format, packed)}
    for i = 1, #before do sums[i] = before[i] + sign * sums[i] end
  end
  sums[1] = sums[1] + calls
  call('HSET', at, row, struct.pack(format, unpack(sums)))
end

-- Change how many entries of a call ended in that row; whether the call came to the row, left it, or neither. A call of
-- one entry, as most are, is kept as its row alone.
local function count_call(name, slot, row, by)
  local place = slot .. ' ' .. row
  if by == 1 and call('HSETNX', P .. 'c', name, place) == 1 then return 1 end
  local packed = call('HGET', P .. 'c', name)
  local rows = packed:find('^%d') and {[packed] = 1} or cmsgpack.unpack(packed)
  local before = rows[place] or 0
  local after = before + by
  rows[place] = after > 0 and after or nil
  if next(rows) then call('HSET', P .. 'c', name, cmsgpack.pack(rows)) else call('HDEL', P .. 'c', name) end
  if before == 0 and next(rows, next(rows)) then call('SADD', P .. 'spanning', name) end
  return (after > 0 and 1 or 0) - (before > 0 and 1 or 0)
end
