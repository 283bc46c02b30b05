-- keep_rule(value, default): a removeOnComplete or removeOnFail value (decoded JSON) as {count, age_s, limit}.
-- nil and what is none of BullMQ's forms give default.
local function keep_rule(value, default)
  local kind = type(value)
  if kind == 'boolean' then
    return { count = value and 0 or nil }
  elseif kind == 'number' then
    return { count = value >= 0 and math.floor(value) or nil }
  elseif kind == 'table' then
    local count, age, limit = tonumber(value.count), tonumber(value.age), tonumber(value.limit)
    return { count = count and count >= 0 and math.floor(count) or nil, age_s = age and age >= 0 and age or nil,
      limit = limit and limit >= 1 and math.floor(limit) or nil }
  end
  return default
end
