-- add_log: a line is at the end of a job's log.
-- Promise:    nothing is written for a job that is gone; with a limit only the newest lines stay.
-- KEYS:       1 job (hash)   2 logs (list)
-- ARGV:       1 line   2 keep (integer, 0 all)
-- Returns:    the number of lines; -1 no such job (codes.py)
-- Events:     none
-- Complexity: O(1)

local job, logs = KEYS[1], KEYS[2]
local line, keep = ARGV[1], tonumber(ARGV[2])

if redis.call('EXISTS', job) == 0 then
  return -1
end
local lines = redis.call('RPUSH', logs, line)
if keep > 0 and lines > keep then
  redis.call('LTRIM', logs, -keep, -1)
  return keep
end
return lines
