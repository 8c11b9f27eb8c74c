-- now, accounts
local now = clock(ARGV[1])
local accounts = levels(ARGV[2], queue(now), '', now)
write_accounts()
return told('levels', accounts)
