-- update_data: a job has other data.
-- Promise:    a job that is gone is not brought back as an empty hash.
-- KEYS:       1 job (hash)
-- ARGV:       1 data (JSON)
-- Returns:    0 written; -1 no such job (codes.py)
-- Events:     none
-- Complexity: O(1)

local job = KEYS[1]
local data = ARGV[1]

if redis.call('EXISTS', job) == 0 then
  return -1
end
redis.call('HSET', job, 'data', data)
return 0
