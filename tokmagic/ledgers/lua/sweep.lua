-- now
local gone = sweep(clock(ARGV[1]))
write_accounts()
return gone
