-- check_stalled: find active jobs that nobody holds, on whatever host their worker was.
-- Promise:    a job that was active at the last check, has no lock and is still active waits at the front again, the one
--             taken first runs first. Over max_crashes it carries `defa`: the next taker fails it, here or in Node.
--             Where the server's clock was set back, what was to end by it (this check's pause, a full limiter, the
--             locks of workers that are gone) ends when it should have.
-- KEYS:       1 meta (hash)   2 active (list)   3 events (stream)   4 stalled (set)   5 stalled-check (string)
--             6 repeat (zset)   From base also: wait, paused, marker, limiter, and per job its hash and lock; those of
--             free_key.
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 now_ms   3 interval_ms   4 max_crashes
--             5 recovers (0: this is like the first check, whatever was seen before)
-- Returns:    nil when another check ran within the interval; a number when the clock was set back: by how many ms, about;
--             else per recovered job: id, 1 when it is to fail or 0
-- Events:     waiting (prev active), stalled
-- Complexity: O(active)

-- include: max_events
-- include: check_places
-- include: count_up
-- include: wake
-- include: place_waiting
-- include: free_key

local META, ACTIVE, EVENTS, STALLED, CHECK, REPEAT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local base, now_ms, interval_ms, max_crashes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local recovers = ARGV[5] == '1'
-- Other hosts, Node's too, may look this much less often than this one does.
local SELDOM_MS = 120000
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

-- For a key that lives that much longer than it was to.
local function shorten(key, by_ms)
  local rest_ms = call('PTTL', key) - by_ms
  if rest_ms > 0 then
    call('PEXPIRE', key, string.format('%.0f', rest_ms))
  end
end

-- Lifetimes lie in Redis as moments: with its clock an hour back they are an hour longer.
local function follow_clock()
  local back_ms = call('PTTL', CHECK) - interval_ms
  if back_ms <= SELDOM_MS then
    return nil
  end
  shorten(CHECK, back_ms)
  shorten(base .. 'limiter', back_ms)
  for _, id in ipairs(call('LRANGE', ACTIVE, 0, -1)) do
    shorten(base .. id .. ':lock', back_ms)
  end
  return back_ms
end

check_places(base)
local back_ms = follow_clock()
if back_ms then
  return back_ms
end
if not call('SET', CHECK, now_ms, 'PX', interval_ms, 'NX') then
  return false
end
call('XTRIM', EVENTS, 'MAXLEN', '~', max_events(META))
local marked = {}
for _, id in ipairs(recovers and call('SMEMBERS', STALLED) or {}) do
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
