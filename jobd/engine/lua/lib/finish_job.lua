-- include: holds
-- include: children_refuse
-- include: put_back
-- include: put_delayed
-- include when used: end_job
-- include when used: wait_for_children
-- finish_job(base, now_ms, max_len, id, token, …): one finish of a turn by itself, whatever its outcome: what follows the
-- token are the words of turn.lua's ARGV. Returns its code, and whether the job is completed or failed for good.
-- Events: those of end_job, put_back, put_delayed or wait_for_children
local function finish_job(base, now_ms, max_len, id, token, outcome, value, stacktrace, delay_ms, keep_count, keep_age_s,
  keep_limit, attempts, lifo, dead)
  local job, active = base .. id, base .. 'active'
  local lock = redis.call('GET', job .. ':lock')
  local stored = redis.pcall('HMGET', job, 'priority', 'sus', 'atm')
  -- Every hash of a job has a priority; without one `holds` looks closer.
  local code = lock == token and stored[1] and 0 or holds(base, id, token, lock)
  if code == 0 and (outcome == 'c' or outcome == 'w') then
    code = children_refuse(base, id, outcome == 'c') or 0 -- before the lock is touched
  end
  -- The id of a job that somebody deleted must not stay: it would count as running.
  if code == 0 or (code == -1 and lock == token) then
    redis.call('SREM', base .. 'stalled', id)
    if redis.call('LREM', active, '-1', id) == 1 then
      redis.call('DEL', job .. ':lock')
    elseif code == 0 then
      code = lock and -3 or -2
    end
  end
  if code ~= 0 then
    return code, false
  end
  delay_ms = tonumber(delay_ms)
  if outcome == 'f' and stacktrace ~= '' then
    redis.call('HSET', job, 'stacktrace', stacktrace)
  end
  if outcome == 'c' or outcome == 'f' then
    local keep = { count = tonumber(keep_count), age_s = tonumber(keep_age_s), limit = tonumber(keep_limit) }
    end_job(base, id, outcome == 'c' and 'completed' or 'failed', value, keep, tonumber(attempts), now_ms, max_len, nil,
      dead)
    return 0, true
  end
  if outcome == 'r' then
    local made = string.format('%.0f', (tonumber(stored[3] or '') or 0) + 1)
    local name = stacktrace == '' and 'failedReason' or 'stacktrace'
    redis.call('HSET', job, 'atm', made, 'failedReason', value, name, stacktrace == '' and value or stacktrace)
  end
  if stored[2] and outcome ~= 'b' then
    redis.call('HDEL', job, 'sus')
  end
  if outcome == 'w' then
    wait_for_children(base, id, now_ms)
    return 0, false
  end
  if outcome == 'x' and delay_ms > 0 then
    -- BullMQ's value for "rate limited by hand"
    redis.call('SET', base .. 'limiter', '9007199254740991', 'PX', delay_ms)
  end
  if (outcome == 'l' or outcome == 'r') and delay_ms > 0 then
    put_delayed(base, id, delay_ms, now_ms, max_len)
  else
    local priority = tonumber(stored[1] or '') or 0
    -- Only a retry goes behind the others; "later" by nothing is BullMQ's moveToWait.
    put_back(base, id, priority, outcome ~= 'r' or (lifo == '1' and priority == 0), max_len)
  end
  return 0, false
end
