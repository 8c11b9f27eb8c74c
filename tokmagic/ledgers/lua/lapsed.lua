-- now: the entries that are still held although their lease has ended
return call('ZRANGEBYSCORE', P .. 'lease', '-inf', ('(%.17g'):format(clock(ARGV[1])))
