-- slots: their rows, each with its slot and its sums
local found = {}
for _, slot in ipairs(ARGV) do
  local rows = call('HGETALL', P .. 't:' .. slot)
  for i = 1, #rows, 2 do found[#found + 1] = {slot, rows[i], rows[i + 1]} end
end
return found
