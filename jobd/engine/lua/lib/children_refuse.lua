-- children_refuse(base, id, completes): the code that refuses a finish because of the job's children, nil when none does.
-- -4: some still run and the job would complete; -9: failed ones forbid its completion.
-- A key of a wrong type holds no children, and must not hold up the finishes beside this one.
local function children_refuse(base, id, completes)
  local pending = redis.pcall('SCARD', base .. id .. ':dependencies')
  local bad = redis.pcall('ZCARD', base .. id .. ':unsuccessful')
  if completes and type(pending) == 'number' and pending > 0 then
    return -4
  end
  if type(bad) == 'number' and bad > 0 then
    return -9
  end
end
