-- include: json_of
-- include: split_key
-- parent_place(parent_key, parent_text): where a child's parent is: its base (ending in a colon) and its id.
-- parent_text (JSON, the child's field parent) knows ids that have colons themselves; without it the key is cut.
local function parent_place(parent_key, parent_text)
  local parent = json_of(parent_text)
  if type(parent.queueKey) == 'string' and type(parent.id) == 'string' then
    return parent.queueKey .. ':', parent.id
  end
  return split_key(parent_key)
end
