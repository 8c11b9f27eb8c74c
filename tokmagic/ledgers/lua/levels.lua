-- now, what is asked of the accounts, then their keys. Says n for a new account.
local now, asked = clock(ARGV[1]), ARGV[2]
local found = #ARGV > 2 and call('HMGET', P .. 'a', unpack(ARGV, 3)) or {}
local places, levels = queue(now), {'l'}
for i, packed in ipairs(found) do
  local _, amount, _, alone = struct.unpack(ASKED, asked, (i - 1) * PER_ACCOUNT + 1)
  if alone == 1 then
    levels[i + 1] = struct.pack('<dddd', 0, 0, 0, 0)
  elseif packed then
    local key = ARGV[i + 2]
    levels[i + 1] = struct.pack('<dddd', standing(key, read_account(key, packed), amount, places, '', now))
  else
    return 'n'
  end
end
write_accounts()
return table.concat(levels)
