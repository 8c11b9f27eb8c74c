-- What replies teach: how many rooms and, for each, an account's key and the most it has left; then for each note its
-- name, its old text and its new one.

local function notes_after(first) return first + 1 + 2 * tonumber(ARGV[first]) end

-- The name of a note that has changed meanwhile.
local function stale(first)
  for i = notes_after(first), #ARGV, 3 do
    if (call('HGET', P .. 'n', ARGV[i]) or '') ~= ARGV[i + 1] then return ARGV[i] end
  end
end

local function keep(first, now)
  local notes = notes_after(first)
  for i = notes, #ARGV, 3 do call('HSET', P .. 'n', ARGV[i], ARGV[i + 2]) end
  for i = first + 1, notes - 1, 2 do
    local key = ARGV[i]
    if not states[key] then read_accounts({key}) end
    local state = states[key]
    if state and state[SECONDS] > 0 then set_room(key, math.min(refilled(state, now), tonumber(ARGV[i + 1])), now) end
  end
end
