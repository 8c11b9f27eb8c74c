-- now, notes, rooms
local notes = cjson.decode(ARGV[2])
local changed = stale(notes)
if changed then return {'stale', changed} end
write_notes(notes)
lower(cjson.decode(ARGV[3]), clock(ARGV[1]))
write_accounts()
return {'done'}
