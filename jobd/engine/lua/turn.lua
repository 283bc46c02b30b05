-- turn: finish these jobs, then take up to n more.
-- Promise:    each finish is accepted or refused by itself, and only for the attempt its token names; each job taken is
--             active, locked and counted (ats). Refused jobs are unchanged; the id of a deleted one leaves active.
-- KEYS:       1 meta (hash)   2 wait (list)   3 active (list)   4 prioritized (zset)   5 delayed (zset)
--             6 events (stream)   7 marker (zset)   8 limiter (string)   9 stalled (set)   10 completed (zset)
--             From base also: pc, id, failed, waiting-children, paused, de:, dn:, and per job its hash, lock and sub keys;
--             of a child its parent's keys (settle_child), in whatever queue; jobd-keys and jobd-aside: (holders_of).
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 now_ms   3 lock_ms   4 token_prefix (ends in a colon)
--             5 worker_name ("" none)   6 take (most jobs wanted)   7 busy (jobs running beside the finished ones)
--             8 limiter_max ("" none)   9 limiter_ms ("" none)   10 quick (how many quick finishes)
--             11 keep_count   12 keep_age_s   13 keep_limit ("" none; the rule of all quick finishes)
--             14 clock_ms ("": now_ms holds; else this turn waited behind a BZPOPMIN, the time is Redis' plus this)
--             15 key_most (most jobs of one key at once; "" no limit per key)   16 key_path (names joined by dots, into
--             data, or into opts when the first one is opts)
--             17 on, 4 each, the quick finishes (completed, without deduplication id or parent, not suspect):
--                job id, token, returnvalue, the new atm
--             then, 12 each, the others: job id, token, outcome (states.Outcome), value, stacktrace ("" leave),
--                delay_ms, keep_count, keep_age_s, keep_limit, attempts, lifo (1 or 0),
--                dead (base of the queue that gets a copy of a failed job, "" none)
--             then with key_most, 1 each, all finishes in this order: the key ("" none)
-- Returns:    1 codes, quick ones first (codes.py: 0, -1, -2, -3, -4, -6, -9)
--             2 jobs, each the fields of read_job (ats the new one), then with key_most the key   3 limited_ms   4 next_due_ms (-1 none)
--             5 blocked (1)   6 suspects were passed over (1)
-- Events:     per finish those of end_job, put_back, put_delayed, or waiting-children (prev active) and those of
--             release_parent; promote_due; active per taken job; drained
-- Complexity: O(finishes + taken), plus the place in active of each finished id, plus what trimming deletes

-- include: max_events
-- include: check_places
-- include: count_up
-- include: window_of
-- include: holds
-- include: children_refuse
-- include: note_failure
-- include: end_job
-- include: put_back
-- include: wait_for_children
-- include: put_delayed
-- include: promote_due
-- include: read_job
-- include: delete_job
-- include: trim_finished
-- include: take_out
-- include: plain_completions
-- include: next_due
-- include: note_drained
-- include: work_is_left
-- include: mark_delayed
-- include: limit_per_key
-- include: look_up_keys
-- include: admit
-- include: leave_keys
-- include: save_holders
local META, WAIT, ACTIVE, PRIORITIZED, DELAYED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local EVENTS, MARKER, LIMITER, STALLED, COMPLETED = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local base, now, lock_ms, token_prefix, worker_name = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local take, busy = tonumber(ARGV[6]), tonumber(ARGV[7])
local limiter_max, limiter_ms, quick = tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])
local quick_keep = { count = tonumber(ARGV[11]), age_s = tonumber(ARGV[12]), limit = tonumber(ARGV[13]) }
local clock_ms = tonumber(ARGV[14])
local QUICK_FROM, QUICK_SIZE, OTHER_SIZE = 17, 4, 12
local call = redis.call
if clock_ms then
  local time = call('TIME')
  now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + clock_ms)
end
local now_ms = tonumber(now)
local ARGS = ARGV
local OTHERS_FROM, keys_from = QUICK_FROM + quick * QUICK_SIZE, #ARGS + 1
local limit = limit_per_key(base, ARGV[15], ARGV[16])
if limit then
  keys_from = OTHERS_FROM + (#ARGS + 1 - OTHERS_FROM - quick) / (OTHER_SIZE + 1) * OTHER_SIZE
end
-- BullMQ's value for "rate limited by hand": honoured even where no limiter is configured.
local MANUAL_LIMIT = '9007199254740991'
-- A turn never looks past more suspects, and jobs without a place by their key, than this.
local MAX_PASSED, MAX_ASIDE = 100, 200

local settings = call('HMGET', META, 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
local max_len = max_events(META, settings[5])
local codes, ended = {}, false

-- Removes the lock's traces of an attempt that may act; false when the id is not in active any more.
local function leave_active(id)
  call('SREM', STALLED, id)
  if call('LREM', ACTIVE, -1, id) == 0 then
    return false
  end
  call('DEL', base .. id .. ':lock')
  return true
end

local function keep_of(at)
  return { count = tonumber(ARGS[at]), age_s = tonumber(ARGS[at + 1]), limit = tonumber(ARGS[at + 2]) }
end

-- Carries out one finish whatever its outcome; returns its code.
local function finish(id, token, outcome, value, stacktrace, delay_ms, keep, attempts, lifo, dead)
  local job = base .. id
  local lock = call('GET', job .. ':lock')
  local code = holds(base, id, token, lock)
  if code == 0 and (outcome == 'c' or outcome == 'w') then
    code = children_refuse(base, id, outcome == 'c') or 0 -- before the lock is touched
  end
  if code == -1 and lock == token then
    leave_active(id) -- somebody deleted the job: an id of none must not stay, it would count as running
  end
  if code ~= 0 then
    return code
  end
  if not leave_active(id) then
    return lock and -3 or -2
  end
  if outcome == 'c' or outcome == 'f' then
    ended = true
    if outcome == 'f' then
      note_failure(job, value, stacktrace)
    end
    end_job(base, id, outcome == 'c' and 'completed' or 'failed', value, keep, attempts, now_ms, max_len,
      nil, dead)
    return 0
  end
  if outcome == 'r' then
    note_failure(job, value, stacktrace)
    count_up(job, 'atm')
  end
  if outcome ~= 'b' then
    call('HDEL', job, 'sus')
  end
  if outcome == 'w' then
    wait_for_children(base, id, now_ms)
    return 0
  end
  if outcome == 'x' and delay_ms > 0 then
    call('SET', LIMITER, MANUAL_LIMIT, 'PX', delay_ms)
  end
  if outcome == 'l' or (outcome == 'r' and delay_ms > 0) then
    put_delayed(base, id, delay_ms, now_ms, max_len)
  else
    local priority = tonumber(call('HGET', job, 'priority') or '') or 0
    put_back(base, id, priority, outcome == 'b' or outcome == 'x' or (lifo and priority == 0), max_len)
  end
  return 0
end

-- The short way of many plain completions at once: what `finish` does to each, with one command where that is possible.
local function finish_quick(ids, jobs, locks)
  local scored, gone = {}, {}
  call('ZCARD', COMPLETED) -- an error now, not when the ids are out of active
  call('SREM', STALLED, unpack(ids))
  local missing, left = take_out(ACTIVE, ids), {}
  for i = 1, quick do
    codes[i] = missing[ids[i]] and -3 or 0
    if codes[i] == 0 then
      local at, id = QUICK_FROM + (i - 1) * QUICK_SIZE, ids[i]
      local value = ARGS[at + 2]
      left[#left + 1], gone[#gone + 1] = id, locks[i]
      if quick_keep.count ~= 0 then
        scored[#scored + 1], scored[#scored + 2] = now, id
        redis.pcall('HSET', jobs[i], 'atm', ARGS[at + 3], 'returnvalue', value, 'finishedOn', now)
      else
        delete_job(base, id)
      end
      call('XADD', EVENTS, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
    end
  end
  if #left == 0 then
    return
  end
  ended = true
  call('DEL', unpack(gone))
  if quick_keep.count ~= 0 then
    call('ZADD', COMPLETED, unpack(scored))
    if quick_keep.count or quick_keep.age_s then
      trim_finished(base, COMPLETED, now_ms, quick_keep.count, quick_keep.age_s, quick_keep.limit)
    end
  end
end

local function finish_all()
  if quick > 0 then
    local ids, tokens = {}, {}
    for i = 1, quick do
      local at = QUICK_FROM + (i - 1) * QUICK_SIZE
      ids[i], tokens[i] = ARGS[at], ARGS[at + 1]
    end
    local jobs, locks = plain_completions(base, ids, tokens)
    if jobs then
      finish_quick(ids, jobs, locks)
    else
      check_places(base)
      for i = 1, quick do
        local at = QUICK_FROM + (i - 1) * QUICK_SIZE
        codes[i] = finish(ARGS[at], ARGS[at + 1], 'c', ARGS[at + 2], '', 0, quick_keep, 0, false)
      end
    end
  end
  if OTHERS_FROM < keys_from then
    check_places(base)
  end
  for at = OTHERS_FROM, keys_from - 1, OTHER_SIZE do
    codes[#codes + 1] = finish(ARGS[at], ARGS[at + 1], ARGS[at + 2], ARGS[at + 3], ARGS[at + 4],
      tonumber(ARGS[at + 5]), keep_of(at + 6), tonumber(ARGS[at + 9]), ARGS[at + 10] == '1',
      ARGS[at + 11])
  end
end

-- What ended gives its place among the jobs of its key to the next one.
local function free_keys()
  local ids, keys, first, size = {}, {}, {}, 0
  for i, code in ipairs(codes) do
    local key, at = ARGS[keys_from + i - 1], QUICK_FROM + (i - 1) * QUICK_SIZE
    if i > quick then
      at = OTHERS_FROM + (i - quick - 1) * OTHER_SIZE
    end
    if key ~= '' and (code == 0 or code == -1) then
      local outcome = i > quick and ARGS[at + 2]
      size = size + 1
      ids[size], keys[size], first[size] = ARGS[at], key, code == 0 and (outcome == 'b' or outcome == 'x')
    end
  end
  leave_keys(limit, ids, keys, first)
end

local limited_ms, next_due_ms, blocked = -1, -1, false
local concurrency = tonumber(settings[2] or '')
local most = tonumber(settings[3] or '') or limiter_max
local window_ms = tonumber(limiter_ms) or tonumber(settings[4] or '')

-- How many of `wanted` may start now, by pause, limiter and global concurrency; 0 sets limited_ms or blocked.
local function allowance(wanted)
  local counted, rest = window_of(LIMITER, most or tonumber(MANUAL_LIMIT))
  if rest > 0 then
    limited_ms = rest
    return 0
  end
  most = counted and most
  local room = concurrency and concurrency - call('LLEN', ACTIVE) or wanted
  if settings[1] or room <= 0 then
    blocked = true
    next_due_ms = next_due(base) -- promoted on time all the same
    return 0
  end
  return math.ceil(math.min(wanted, room, most and most - counted or wanted)) -- limits may be fractions, counts not
end

local rows, passed, stop = {}, 0, false
local wait_empty = false
local passed_waiting, passed_prioritized = {}, {}

-- The next ids to run, at most n, out of their container; their scores too when they were prioritized.
local function pop(n)
  if not wait_empty then
    local ids = call('RPOP', WAIT, n) or {}
    wait_empty = #ids < n and not limit -- one may come back (admit)
    if #ids > 0 then
      return ids
    end
  end
  local popped, ids, scores = call('ZPOPMIN', PRIORITIZED, n), {}, {}
  for i = 1, #popped, 2 do
    ids[#ids + 1], scores[#scores + 1] = popped[i], popped[i + 1]
  end
  return ids, scores
end

-- Remembers a popped id that goes back at the end.
local function pass_over(id, score)
  if score then
    passed_prioritized[#passed_prioritized + 1] = score
    passed_prioritized[#passed_prioritized + 1] = id
  else
    passed_waiting[#passed_waiting + 1] = id
  end
end

local function put_passed_back()
  for i = #passed_waiting, 1, -1 do
    call('RPUSH', WAIT, passed_waiting[i])
  end
  if #passed_prioritized > 0 then
    call('ZADD', PRIORITIZED, unpack(passed_prioritized))
  end
end

-- Locks and counts one job; its place in active is the caller's.
local function start(id, row)
  local job = base .. id
  local started = row[8] and string.format('%.0f', (tonumber(row[8]) or 0) + 1) or '1'
  call('SET', job .. ':lock', token_prefix .. started, 'PX', lock_ms)
  call('XADD', EVENTS, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
  local pb = worker_name ~= '' and 'pb'
  if limit and row[17] then
    call('HSET', job, 'processedOn', now, 'ats', started, 'jobdkey', row[17], pb or 'jobdkey', pb and worker_name or row[17])
  elseif pb then
    call('HSET', job, 'processedOn', now, 'pb', worker_name, 'ats', started)
  else
    call('HSET', job, 'processedOn', now, 'ats', started)
  end
  row[8] = started
  rows[#rows + 1] = row
end

-- Starts the popped ids, as far as suspects allow. Jobs that only fail (defa) do not count for the limiter.
local function start_all(ids, scores)
  local started, counted = {}, 0
  local found = limit and look_up_keys(limit, base, ids)
  for i, id in ipairs(ids) do
    local row = not stop and (found and found[id] or read_job(base, id))
    local alone = row and row[15] and busy == 0 and #rows == 0 and passed == 0
    if stop then
      pass_over(id, scores and scores[i])
    elseif row and row[15] and not alone then
      passed = passed + 1
      pass_over(id, scores and scores[i])
    elseif row and string.sub(id, 1, 2) ~= '0:' then -- such ids are markers of old versions, not jobs
      if limit then
        id, row = admit(limit, ids, scores, i, row, now_ms, max_len)
      end
      if id then
        start(id, row)
        started[#started + 1] = id
        counted = counted + (row[13] and 0 or 1)
        stop = alone
      end
    end
  end
  if #started > 0 then
    call('LPUSH', ACTIVE, unpack(started))
  end
  if most and window_ms and counted > 0 and redis.pcall('INCRBY', LIMITER, counted) == counted then
    redis.pcall('PEXPIRE', LIMITER, string.format('%.0f', window_ms))
  end
end

local function take_all()
  if not ended then -- else a finish has used both: an error now, not when ids are out of wait
    call('LLEN', ACTIVE)
    call('XLEN', EVENTS)
  end
  while #rows < take and passed < MAX_PASSED and not stop and not (limit and limit.aside >= MAX_ASIDE) do
    local count = allowance(take - #rows)
    if count == 0 then
      break
    end
    local ids, scores = pop(count)
    if #ids == 0 then
      if #passed_prioritized == 0 then
        call('DEL', base .. 'pc')
      end
      next_due_ms = next_due(base)
      break
    end
    start_all(ids, scores)
  end
  put_passed_back()
  if limit and limit.aside > 0 then
    mark_delayed(base)
  end
  if (#rows > 0 or limit and limit.aside >= MAX_ASIDE) and (next_due_ms >= 0 or work_is_left(base)) then
    call('ZADD', MARKER, 0, '0')
  end
end

local function retries_now()
  for at = OTHERS_FROM, keys_from - 1, OTHER_SIZE do
    if ARGS[at + 2] == 'r' and ARGS[at + 5] == '0' then
      return true
    end
  end
end

-- A job that is retried at once goes behind those that are due; else BullMQ's finish comes before the promotion.
local promoted = retries_now()
if promoted then
  promote_due(base, now_ms, limit)
end
if #ARGS >= QUICK_FROM then
  call('XTRIM', EVENTS, 'MAXLEN', '~', max_len)
end
finish_all()
if limit and #codes > 0 then
  free_keys()
end
if take > 0 then
  if not promoted then
    promote_due(base, now_ms, limit)
  end
  take_all()
end
if limit then
  save_holders(limit.holders)
end
if ended and #rows == 0 and limited_ms < 0 and next_due_ms < 0 and not blocked then
  note_drained(base)
end
return { codes, rows, limited_ms, next_due_ms, blocked and 1 or 0, passed > 0 and 1 or 0 }
