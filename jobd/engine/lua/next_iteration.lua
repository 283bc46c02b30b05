-- next_iteration: whoever takes a scheduler's job has its next iteration made, once.
-- Promise:    only the taker of the current iteration makes the next: a retry, a stalled rerun and a job of a scheduler
--             that is gone or was changed make none.
-- KEYS:       1 repeat (zset)   2 jobd:schedules (hash)   3 active (list)
--             From base also: repeat:<scheduler>, the next iteration's hash, delayed, wait, prioritized, pc, id, marker,
--             meta, events
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 now_ms   3 scheduler   4 job id of the taken one
--             5 job_opts (JSON, of the next; "" to make none)   6 slot (of a cron pattern; "" for `every`)
--             7 missed (due times of the pattern that passed since)   8 chance (from 0 to 1, for the jitter)
--             9 first (1: the job has not run yet, and may have to wait for the one before)
-- Returns:    1 next slot in ms (-1 none made)   2 note (JSON of jobd's policies, "")   3 id of another run that is not
--             through, when the note has an overlap that forbids that ("" none)
-- Events:     duplicated, or those of insert_job
-- Complexity: O(1), with an overlap policy O(active)

-- include: add_iteration
-- include: next_slot
-- include: max_events
local REPEAT, NOTES, ACTIVE = KEYS[1], KEYS[2], KEYS[3]
local base, now_ms, sid, id, job_opts = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local cron_slot, missed, chance, first = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1'
local own = 'repeat:' .. sid .. ':'
local text = redis.call('HGET', NOTES, 's:' .. sid)
local note = text and cjson.decode(text) or {}

local function make_next()
  local prev = tonumber(redis.call('ZSCORE', REPEAT, sid) or '')
  if job_opts == '' or not prev or id ~= own .. string.format('%.0f', prev) then
    return -1
  end
  local opts = cjson.decode(job_opts) -- an error now, not when the scheduler has moved on to a job that is not made
  local stored = redis.call('HMGET', base .. 'repeat:' .. sid, 'name', 'data', 'every', 'offset')
  local every, slot = tonumber(stored[3] or ''), cron_slot
  if every and not slot then
    slot = next_slot(every, tonumber(stored[4] or ''), prev, nil, now_ms)
    missed = math.floor((slot - prev) / every + 0.5) - 1
  end
  if not slot then
    return -1
  end
  local next_id = own .. string.format('%.0f', slot)
  if redis.call('EXISTS', base .. next_id) == 1 then
    redis.call('XADD', base .. 'events', 'MAXLEN', '~', max_events(base .. 'meta'), '*', 'event', 'duplicated', 'jobId',
      next_id)
    return -1
  end
  redis.call('ZADD', REPEAT, string.format('%.0f', slot), sid)
  redis.call('HINCRBY', base .. 'repeat:' .. sid, 'ic', 1)
  if missed > 0 and text then
    redis.call('HINCRBY', NOTES, 'm:' .. sid, missed)
  end
  add_iteration(base, sid, slot, cron_slot ~= nil, stored[1] or sid, stored[2] or '{}', opts, now_ms,
    math.floor((note.jitter_ms or 0) * chance))
  return slot
end

-- A run of this scheduler that is not through: the one that began last, or one that a Node worker runs.
local function another_run()
  local last = redis.call('HGET', NOTES, 'r:' .. sid)
  if last and last ~= id then
    local found = redis.call('HMGET', base .. last, 'timestamp', 'finishedOn')
    if found[1] and not found[2] then
      return last
    end
  end
  for _, running in ipairs(redis.call('LRANGE', ACTIVE, 0, -1)) do
    if running ~= id and string.sub(running, 1, #own) == own then
      return running
    end
  end
end

local slot = make_next()
local other = first and (note.overlap == 'skip' or note.overlap == 'queue') and another_run()
if text and not other then
  redis.call('HSET', NOTES, 'r:' .. sid, id)
end
return { slot, text or '', other or '' }
