-- room_of(holders, key, most): how many more jobs may run with this key. Before it says none it strikes off those that
-- are not active any more: no crash, and no peer that knows nothing of keys, can take a place for good.
local function room_of(holders, key, most)
  local text, base = holders.texts[key], holders.base
  if not text then
    return most
  end
  local _, breaks = string.gsub(text, '\n', '\n')
  if breaks > most and not holders.checked[key] then
    holders.checked[key] = true
    local kept = { string.sub(text, 1, 1) }
    for id in string.gmatch(string.sub(text, 2), '[^\n]+') do
      -- Without a lock it still runs, or is to be recovered, while it is in active.
      if holders.started[id] or redis.call('EXISTS', base .. id .. ':lock') == 1
        or redis.call('LPOS', base .. 'active', id) then
        kept[#kept + 1] = id
      end
    end
    if #kept < breaks then
      holders.texts[key] = table.concat(kept, '\n') .. '\n'
      holders.changed[key] = true
      breaks = #kept
    end
  end
  return most - breaks + 1
end
