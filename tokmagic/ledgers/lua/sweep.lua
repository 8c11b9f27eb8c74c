-- now
return sweep(clock(ARGV[1]))
