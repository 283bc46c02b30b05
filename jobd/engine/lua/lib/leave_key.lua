-- leave_key(holders, key, id): the job does not run with this key any more.
local function leave_key(holders, key, id)
  local text = holders.texts[key]
  local from, to = string.find(text or '', '\n' .. id .. '\n', 1, true)
  if from then
    holders.texts[key] = string.sub(text, 1, from) .. string.sub(text, to + 1)
    holders.changed[key] = true
  end
end
