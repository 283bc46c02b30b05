-- leave_key(holders, key, id): the job does not run with this key any more.
local function leave_key(holders, key, id)
  local text = holders.texts[key]
  if text == 'n\n' .. id .. '\n' then -- as most often
    holders.texts[key], holders.changed[key] = false, true
    return
  end
  local from, to = string.find(text or '', '\n' .. id .. '\n', 1, true)
  if from then
    holders.texts[key] = string.sub(text, 1, from) .. string.sub(text, to + 1)
    holders.changed[key] = true
  end
end
