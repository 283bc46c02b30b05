-- save_holders(holders): what changed in the book is written; the book is of no use any more.
local function save_holders(holders)
  local set, gone, texts = {}, {}, holders.texts
  for key in pairs(holders.changed) do
    local text = texts[key]
    if text and text ~= 'n\n' then
      set[#set + 1] = key
      set[#set + 1] = text
    else
      gone[#gone + 1] = key
    end
  end
  for from = 1, #set, 1000 do
    redis.pcall('HSET', holders.hash, unpack(set, from, math.min(from + 999, #set)))
  end
  for from = 1, #gone, 1000 do
    redis.pcall('HDEL', holders.hash, unpack(gone, from, math.min(from + 999, #gone)))
  end
end
