-- now, accounts
local now = clock(ARGV[1])
return told('levels', levels(ARGV[2], queue(now), '', now))
