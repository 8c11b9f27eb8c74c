-- The queue, and how full the accounts are that were asked for. Asked for are keys; of each, packed: its unit, its
-- amount, the most room a call finds in it, and whether it looks at one call alone and is in no book.
local ASKED, PER_ACCOUNT = '<dddd', 32

local function queue(now)
  local places = {}
  local rows = call('HGETALL', P .. 'q')
  for i = 1, #rows, 2 do
    local place = cmsgpack.unpack(rows[i + 1])
    if place.lease < now or place.asked > now then call('HDEL', P .. 'q', rows[i]) else places[rows[i]] = place end
  end
  return places
end

local function ahead(places, key, ticket)
  local own, needed = places[ticket] and places[ticket].place or math.huge, 0
  for other, place in pairs(places) do
    if other ~= ticket and place.place < own then needed = needed + (place.needs[key] or 0) end
  end
  return needed
end

-- What is spent, held, room and ahead of an account whose state this is.
local function standing(key, state, amount, places, ticket, now)
  if state[SECONDS] == 0 then return state[SPENT], state[HELD], 0, 0 end
  state[AMOUNT] = amount
  local room = refilled(state, now)
  if now < state[AT] then set_room(key, room, now) end
  return 0, 0, room, next(places) and ahead(places, key, ticket) or 0
end
