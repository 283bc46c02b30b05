-- job_outcome: tell whether a job is finished, and from where to watch when it is not.
-- Promise:    nothing changes; an end of the job after this moment has an event after the returned stream id.
-- KEYS:       1 job (hash)   2 completed   3 failed (sorted sets)   4 events (stream)
-- ARGV:       1 job id
-- Returns:    {'completed', returnvalue} | {'failed', failedReason} | {'pending', stream id} | {'missing', stream id}
-- Events:     none
-- Complexity: O(log n)

local job, completed, failed, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id = ARGV[1]

if redis.call('ZSCORE', completed, id) then
  return {'completed', redis.call('HGET', job, 'returnvalue') or 'null'}
end
if redis.call('ZSCORE', failed, id) then
  return {'failed', redis.call('HGET', job, 'failedReason') or ''}
end
local newest = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)
local last = newest[1] and newest[1][1] or '0-0'
return {redis.call('EXISTS', job) == 1 and 'pending' or 'missing', last}
