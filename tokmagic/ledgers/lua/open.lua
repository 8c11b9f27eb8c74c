-- prefix: the ids of what is open, each with its time and its number
local found = {}
local open = call('HGETALL', P .. 'o')
for i = 1, #open, 2 do
  if open[i]:sub(1, #ARGV[1]) == ARGV[1] then
    local record = cmsgpack.unpack(open[i + 1])
    found[#found + 1] = {open[i], text(record.at), record.number}
  end
end
return found
