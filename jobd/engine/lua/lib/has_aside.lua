-- has_aside(holders, key): whether jobs are set aside for a key, as far as is known.
local function has_aside(holders, key)
  local text = holders.texts[key]
  return text and string.byte(text) == 97
end
