-- split_key(key): the base (ending in a colon) and the id of a job's key, cut at its last colon as BullMQ does.
local function split_key(key)
  return string.match(key, '^(.*:)([^:]*)$')
end
