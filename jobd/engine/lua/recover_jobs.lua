-- recover_jobs: take the jobs of a dead worker from it.
-- Promise:    every active job whose lock has the prefix waits at the front again, the one taken first runs first; or
--             it has failed, when its worker died under it more than max_crashes times. atm rises only by a failure.
--             Those listed as begun whose lock is gone altogether are recovered too, unless they were taken since.
-- KEYS:       1 meta (hash)   2 active (list)   3 events (stream)
--             From base also: wait, prioritized, failed, stalled, marker, id, de:, dn:, and per job hash, lock, sub keys;
--             those of free_key.
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 token_prefix   3 now_ms   4 counted (1: the death is
--             held against jobs that had started)   5 max_crashes   6 reason (failedReason)
--             7 keep_count   8 keep_age_s   9 keep_limit ("" none; for failed jobs without removeOnFail)
--             10 dead (base of the queue that gets a copy of a failed job, "" none)
--             11 on, 2 per job whose handler had begun: its id, and its ats then
-- Returns:    per job, newest first: id, what (0 waits, 1 failed, 2 waits as a suspect)
-- Events:     waiting (prev active), and stalled when counted; or those of end_job and free_key; drained
-- Complexity: O(active), plus the place in active of each recovered id

-- include: max_events
-- include: check_places
-- include: find_held
-- include: drop_active
-- include: count_up
-- include: json_of
-- include: keep_rule
-- include: end_job
-- include: put_back
-- include: free_key
-- include: note_drained

local META, ACTIVE, EVENTS = KEYS[1], KEYS[2], KEYS[3]
local base, token_prefix, now_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local counted, max_crashes, reason = ARGV[4] == '1', tonumber(ARGV[5]), ARGV[6]
local default_keep = { count = tonumber(ARGV[7]), age_s = tonumber(ARGV[8]), limit = tonumber(ARGV[9]) }
local dead, BEGUN_FROM = ARGV[10], 11
local ARGS, call = ARGV, redis.call
local max_len = max_events(META)

local begun = {}
for i = BEGUN_FROM, #ARGS, 2 do
  begun[ARGS[i]] = ARGS[i + 1]
end

-- Whether the handler had begun in the dead worker's own take: another may have taken the job since, and run it.
local function had_begun(id)
  local ats = begun[id]
  return ats ~= nil and (redis.pcall('HGET', base .. id, 'ats') or ats) == ats
end

local function is_left(id)
  return begun[id] and call('EXISTS', base .. id .. ':lock') == 0 and had_begun(id)
end

-- Ids to recover, newest first: those under the prefix, and those begun whose lock is gone.
local function find()
  local ids, is_held = find_held(base, token_prefix), {}
  for _, id in ipairs(ids) do
    is_held[id] = true
  end
  local unlocked = false
  for id in pairs(begun) do
    unlocked = unlocked or (not is_held[id] and is_left(id))
  end
  if not unlocked then
    return ids
  end
  local all = {}
  for _, id in ipairs(call('LRANGE', ACTIVE, 0, -1)) do
    if is_held[id] or is_left(id) then
      all[#all + 1] = id
    end
  end
  return all
end

-- The job's stack traces with the reason as the newest entry, within its stackTraceLimit.
local function stacktrace_with(stored, opts)
  local old, entries = json_of(stored), {}
  for _, entry in ipairs(old) do
    entries[#entries + 1] = entry
  end
  entries[#entries + 1] = reason
  -- As JavaScript's `=== 0 ? [] : slice(-limit)`: what is no number, and "0", keeps all.
  local limit = tonumber(opts.stackTraceLimit) or 0
  limit = opts.stackTraceLimit == 0 and 0 or limit >= 1 and limit or #entries
  while #entries > limit do
    table.remove(entries, 1)
  end
  return #entries > 0 and cjson.encode(entries) or '[]'
end

local function fail(id)
  local job = base .. id
  local stored = call('HMGET', job, 'opts', 'stacktrace')
  local opts = json_of(stored[1])
  call('HSET', job, 'failedReason', reason, 'stacktrace', stacktrace_with(stored[2], opts))
  end_job(base, id, 'failed', reason, keep_rule(opts.removeOnFail, default_keep), tonumber(opts.attempts) or 0, now_ms,
    max_len, nil, dead)
end

check_places(base)
local ids = find()
local is_guilty, blamed = {}, 0
for _, id in ipairs(ids) do
  if counted and had_begun(id) then
    is_guilty[id], blamed = true, blamed + 1
  end
end
local result, failed = {}, false
for _, id in ipairs(ids) do
  local job = base .. id
  -- An id without a hash is dropped: put back it would run as a job without a name.
  if drop_active(base, id) and call('EXISTS', job) == 1 then
    local guilty, what = is_guilty[id], 0
    local key = call('HGET', job, 'jobdkey')
    if guilty and count_up(job, 'stc') > max_crashes then
      fail(id)
      failed, what = true, 1
    else
      if guilty and blamed > 1 then
        call('HSET', job, 'sus', '1')
        what = 2
      end
      -- To the front whatever its priority, as BullMQ's stalled check.
      put_back(base, id, 0, true, max_len)
      if guilty then
        call('XADD', EVENTS, '*', 'event', 'stalled', 'jobId', id)
      end
    end
    free_key(base, key, id, what ~= 1)
    result[#result + 1] = id
    result[#result + 1] = what
  end
end
if failed then
  call('XTRIM', EVENTS, 'MAXLEN', '~', max_len)
  note_drained(base)
end
return result
