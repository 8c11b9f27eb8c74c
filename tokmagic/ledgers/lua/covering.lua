-- Which calls an account counts.

-- A shell pattern over model names, in lower case, as a pattern of Lua.
local function covers(models, model)
  if models == '*' then return true end
  local pattern, i = {'^'}, 1
  while i <= #models do
    local sign = models:sub(i, i)
    local stop = sign == '[' and models:find(']', models:sub(i + 1, i + 1) == '!' and i + 3 or i + 2, true)
    if sign == '*' then pattern[#pattern + 1] = '.*'
    elseif sign == '?' then pattern[#pattern + 1] = '.'
    elseif stop then
      local set = models:sub(i + 1, stop - 1):gsub('%%', '%%%%')
      if set:sub(1, 1) == '!' then set = '^' .. set:sub(2) elseif set:sub(1, 1) == '^' then set = '%' .. set end
      pattern[#pattern + 1] = '[' .. set .. ']'
      i = stop
    else pattern[#pattern + 1] = sign:gsub('%W', '%%%0') end
    i = i + 1
  end
  return model:lower():find(table.concat(pattern) .. '$') ~= nil
end

-- What of an account tells which calls it counts: unit, since, until and play as doubles, then the models.
local FACTS, MODELS_AT = '<dddd', 33

local function within(facts, at, play, model)
  local _, since, ending, plays = struct.unpack(FACTS, facts)
  return at >= since and at < ending and play == plays and covers(facts:sub(MODELS_AT), model)
end
