-- the rows of each call that ended in several
local found = {}
for _, name in ipairs(call('SMEMBERS', P .. 'spanning')) do
  local packed, rows = call('HGET', P .. 'c', name), {}
  for row in pairs(packed and cmsgpack.unpack(packed) or {}) do rows[#rows + 1] = row end
  found[#found + 1] = rows
end
return found
