-- is_set(value): whether JavaScript takes a decoded JSON value for true.
local function is_set(value)
  return value ~= nil and value ~= cjson.null and value ~= false and value ~= 0 and value ~= ''
end
