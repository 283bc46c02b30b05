-- load_holders(holders, keys): what is kept of these keys is in the book, read with one command.
local function load_holders(holders, keys)
  local texts, wanted = holders.texts, {}
  for i = 1, #keys do
    if texts[keys[i]] == nil then
      texts[keys[i]] = false
      wanted[#wanted + 1] = keys[i]
    end
  end
  if #wanted == 0 then
    return
  end
  local found = redis.pcall('HMGET', holders.hash, unpack(wanted))
  for i = 1, #found do
    local text = found[i]
    texts[wanted[i]] = text and string.sub(text, 2, 2) == '\n' and text
  end
end
