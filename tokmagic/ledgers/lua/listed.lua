-- how many at most, whose, slots: for each what was reserved for it, until there are so many
local found, many = {}, 0
for i = 3, #ARGV do
  local places = call('LRANGE', P .. 'ids' .. ARGV[2] .. ':' .. ARGV[i], 0, -1)
  found[#found + 1], many = places, many + #places
  if many >= tonumber(ARGV[1]) then break end
end
return found
