-- json_of(text): the table that a JSON text describes; an empty one for anything else.
local function json_of(text)
  local ok, value = pcall(cjson.decode, text or '')
  return ok and type(value) == 'table' and value or {}
end
