-- the rows of each call that ended in several
local found = {}
for _, name in ipairs(call('SMEMBERS', P .. 'spanning')) do
  local rows = {}
  for row in pairs(cmsgpack.unpack(call('HGET', P .. 'c', name))) do rows[#rows + 1] = row end
  found[#found + 1] = rows
end
return found
