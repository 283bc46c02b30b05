-- json_at(text, path): the JSON text of the member that path (a list of names) leads to; nil when there is none, when it
-- is null, or when the text is no JSON. Text and not a value: 1 and "1" differ, large numbers keep every digit.
-- Of two members of one name the first counts. A text with escapes is written the way cjson writes it.
local json_at
do
  local find, sub = string.find, string.sub

  -- Where the string that begins at `at` ends.
  local function string_end(text, at)
    local from = at + 1
    while true do
      local stop = find(text, '["\\]', from)
      if not stop or sub(text, stop, stop) == '"' then
        return stop
      end
      from = stop + 2
    end
  end

  local function value_end(text, at)
    local first = sub(text, at, at)
    if first == '"' then
      return string_end(text, at)
    end
    if first ~= '{' and first ~= '[' then
      local _, stop = find(text, '^[^%s,%]}]+', at)
      return stop
    end
    local depth, from = 0, at
    repeat
      local place = find(text, '["%[%]{}]', from)
      local sign = place and sub(text, place, place)
      if sign == '"' then
        place = string_end(text, place)
      elseif sign then
        depth = depth + ((sign == '{' or sign == '[') and 1 or -1)
      end
      from = (place or #text) + 1
    until not place or depth == 0
    return depth == 0 and from - 1 or nil
  end

  local function plain(quoted)
    if find(quoted, '\\', 1, true) then
      local ok, values = pcall(cjson.decode, '[' .. quoted .. ']')
      return ok and cjson.encode(values[1]) or quoted
    end
    return quoted
  end

  -- Where the value of a member begins, in the object that begins at `at`.
  local function member(text, at, name)
    local quoted = '"' .. name .. '"'
    at = find(text, '%S', at + 1)
    while at and sub(text, at, at) == '"' do
      local stop = string_end(text, at)
      local _, colon = find(text, '^%s*:%s*', (stop or #text) + 1)
      if not colon then
        return nil
      end
      if plain(sub(text, at, stop)) == quoted then
        return colon + 1
      end
      local past = value_end(text, colon + 1)
      local _, comma = find(text, '^%s*,%s*', (past or #text) + 1)
      at = comma and comma + 1
    end
  end

  json_at = function(text, path)
    local at = find(text, '%S')
    for i = 1, #path do
      at = at and sub(text, at, at) == '{' and member(text, at, path[i])
      if not at then
        return nil
      end
    end
    local stop = value_end(text, at)
    local found = stop and sub(text, at, stop)
    if not found or found == 'null' then
      return nil
    end
    return sub(found, 1, 1) == '"' and plain(found) or found
  end
end
