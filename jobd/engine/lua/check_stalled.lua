-- check_stalled: find active jobs that nobody holds, on whatever host their worker was.
-- Promise:    a job that was active at the last check, has no lock and is still active waits at the front again, the one
--             taken first runs first. Over max_crashes it carries `defa`: the next taker fails it, here or in Node.
-- KEYS:       1 meta (hash)   2 active (list)   3 events (stream)   4 stalled (set)   5 stalled-check (string)
--             6 repeat (zset)   From base also: wait, paused, marker, and per job its hash and lock; those of free_key.
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 now_ms   3 interval_ms   4 max_crashes
-- Returns:    nil when another check ran within the interval; else per recovered job: id, 1 when it is to fail or 0
-- Events:     waiting (prev active), stalled
-- Complexity: O(active)

-- include: max_events
-- include: check_places
-- include: count_up
-- include: wake
-- include: place_waiting
-- include: free_key

local META, ACTIVE, EVENTS, STALLED, CHECK, REPEAT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local base, now_ms, interval_ms, max_crashes = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local call = redis.call

-- Counts the crash; returns whether the job is over the limit. Jobs of a living scheduler never are, as in BullMQ.
local function blame(job)
  local crashes = count_up(job, 'stc')
  if crashes <= max_crashes then
    return false
  end
  local scheduler = call('HGET', job, 'rjk')
  if scheduler and call('ZSCORE', REPEAT, scheduler) then
    return false
  end
  call('HSET', job, 'defa', 'job stalled more than allowable limit')
  return true
end

local function recover(id, result)
  local job = base .. id
  if call('LREM', ACTIVE, 1, id) == 0 or call('EXISTS', job) == 0 then
    return
  end
  local over = blame(job)
  place_waiting(base, id, true)
  wake(base)
  call('XADD', EVENTS, '*', 'event', 'waiting', 'jobId', id, 'prev', 'active')
  call('XADD', EVENTS, '*', 'event', 'stalled', 'jobId', id)
  result[#result + 1] = id
  free_key(base, call('HGET', job, 'jobdkey'), id, true)
  result[#result + 1] = over and 1 or 0
end

check_places(base)
if not call('SET', CHECK, now_ms, 'PX', interval_ms, 'NX') then
  return false
end
call('XTRIM', EVENTS, 'MAXLEN', '~', max_events(META))
local marked = {}
for _, id in ipairs(call('SMEMBERS', STALLED)) do
  marked[id] = true
end
call('DEL', STALLED)
local result, unmarked = {}, {}
for _, id in ipairs(call('LRANGE', ACTIVE, 0, -1)) do
  if marked[id] and call('EXISTS', base .. id .. ':lock') == 0 then
    recover(id, result)
  else
    unmarked[#unmarked + 1] = id
  end
end
for from = 1, #unmarked, 1000 do
  call('SADD', STALLED, unpack(unmarked, from, math.min(from + 999, #unmarked)))
end
return result
