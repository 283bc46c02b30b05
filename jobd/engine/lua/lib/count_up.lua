-- count_up(job, field): the counter in the job's hash is one higher; returns it. One that is no number starts at 1:
-- an error here would end the script with the job in no list at all.
local function count_up(job, field)
  local count = redis.pcall('HINCRBY', job, field, '1')
  if type(count) == 'table' then
    redis.pcall('HSET', job, field, '1')
    return 1
  end
  return count
end
