-- The book in Redis: what every script begins with. All keys begin with KEYS[1], a hash tag, so they share one slot.
--   e, x     entries by id: as reserved, and what their end changed
--   o        what is still open
--   lease    holds by the end of their lease
--   a, f     accounts by key, and the keys of each scope with the end of their windows; facts of accounts by key
--   ids:<slot>, ids:<session>:<slot>      what was reserved for a minute, in order: its time and its id
--   t:<slot>                              sums of a minute, by row
--   slots, slots:<session>                which minutes there are
--   c        by call, how many entries ended in which row        spanning       calls that ended in several rows
--   q, n     places in the queue, and notes            version        of all this
-- Amounts are whole numbers below 2^53, which a Lua number holds exactly; an unknown price is not a number. Times are
-- seconds. What is read and written by every call is packed, and what a script need not know stays closed.
local P, call = KEYS[1], redis.call

local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = call('TIME')
  return time[1] + time[2] / 1e6
end

local function slot_of(at) return ('%d'):format(math.floor(at / 60)) end

-- Packed doubles as a list.
local function numbers(packed)
  local list = {struct.unpack('<' .. ('d'):rep(#packed / 8), packed)}
  list[#packed / 8 + 1] = nil
  return list
end
