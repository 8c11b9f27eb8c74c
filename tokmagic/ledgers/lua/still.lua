-- prefix: the ids of what is open, each with its time and its number
local found = {}
for _, id in ipairs(call('HKEYS', P .. 'o')) do
  if id:sub(1, #ARGV[1]) == ARGV[1] then
    local record = open_entry(id)
    found[#found + 1] = {id, ('%.17g'):format(record[TIME]), record[NUMBER]}
  end
end
return found
