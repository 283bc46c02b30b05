-- include: json_at
-- include: field_of
-- key_of(limit, id, row, plain): the key of a job for a limit per key, the JSON text its path leads to; nil when it has
-- none. limit: {path (names), in_opts, first}; row: of read_job, or for plain {name, data, opts}. A long text stands as its
-- hash. A job whose id has a line break, which BullMQ never makes, could not be told from two in the book, and has no key.
-- What a pattern finds needs no more reading; else cjson reads small texts fastest, and json_at large ones and what
-- cjson would read inexactly.
local function key_of(limit, id, row, plain)
  local path, text = limit.path, nil
  if plain then
    text = row[limit.in_opts and 3 or 2]
  else
    text = field_of(row, limit.in_opts and 'opts' or 'data')
  end
  if not text or string.find(id, '\n', 1, true) then
    return nil
  end
  local key, kind = limit.first and string.match(text, limit.first), nil
  if key and #key < 16 and (string.find(key, '^"[^"]+"$') or string.find(key, '^[1-9]%d*$')) then
    return key
  end
  key = nil
  if #text <= 4096 then
    local ok, value = pcall(cjson.decode, text)
    if not ok then
      return nil
    end
    for i = 1, #path do
      value = type(value) == 'table' and value[path[i]]
    end
    kind = type(value)
    if kind == 'string' then
      key = '"' .. value .. '"'
    elseif kind == 'number' and value % 1 == 0 and value < 9007199254740992 and value > -9007199254740992 then
      key = string.format('%.0f', value)
    elseif kind == 'nil' or value == cjson.null then
      return nil
    end
  end
  key = key or json_at(text, path)
  return key and #key > 200 and redis.sha1hex(key) or key
end
