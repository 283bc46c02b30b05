-- wrong_type(wait, active, events, moved, ids): the error of the first of active and events that is not of its type, nil for
-- none: then what was popped from wait is there again. moved: the id that went to active at once, false or nil for none.
local function wrong_type(wait, active, events, moved, ids)
  local actives, added = moved or redis.pcall('LLEN', active), redis.pcall('XLEN', events)
  if type(actives) ~= 'table' and type(added) ~= 'table' then
    return nil
  end
  for i = #ids, 1, -1 do
    redis.call('RPUSH', wait, ids[i])
  end
  if moved then
    redis.call('LPOP', active)
  end
  return type(actives) == 'table' and actives or added
end
