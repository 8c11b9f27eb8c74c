-- now, lessons
local changed_note = stale(2)
if changed_note then return 's' .. changed_note end
keep(2, clock(ARGV[1]))
write_accounts()
return 'd'
