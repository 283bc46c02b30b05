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
--             14 clock_ms ("": now_ms holds; else this turn waited behind a BZPOPMIN, the time is Redis' plus this, if
--             that is within a minute of now_ms, when it was sent: no wait is longer, so a clock was set since)
--             15 key_most (most jobs of one key at once; "" no limit per key)   16 key_path (names joined by dots, into
--             data, or into opts when the first one is opts)
--             17 on, 4 each, the quick finishes (completed, without deduplication id or parent, not suspect):
--                job id, token, returnvalue, the new atm
--             then, 12 each, the others: job id, token, outcome (states.Outcome), value, stacktrace ("" leave),
--                delay_ms, keep_count, keep_age_s, keep_limit, attempts, lifo (1 or 0),
--                dead (base of the queue that gets a copy of a failed job, "" none)
--             then with key_most, 1 each, all finishes in this order: the key ("" none)
-- Returns:    1 codes, quick ones first (codes.py: 0, -1, -2, -3, -4, -6, -9)
--             2 jobs, each the row of read_job, then ats (the new one), with key_most jobdkey ("" none), then the id
--             3 limited_ms   4 next_due_ms (-1 none)
--             5 blocked (1)   6 suspects were passed over (1)
-- Events:     per finish those of end_job, put_back, put_delayed, or waiting-children (prev active) and those of
--             release_parent; promote_due; active per taken job; drained
-- Complexity: O(finishes + taken), plus the place in active of each finished id, plus what trimming deletes

-- Written as one piece: a function is made anew at every call of a script, so what every turn needs stands in the open
-- and what few turns need is made when it is used (docs/decisions/0021-lua-when-used.md).

-- include: max_events
-- include: check_places
-- include: window_of
-- include: plain_completions
-- include: take_out
-- include: read_job
-- include: note_drained
-- include: next_due
-- include: delete_job
-- include when used: trim_finished
-- include when used: finish_job
-- include when used: promote_due
-- include when used: limit_in_turn
local META, WAIT, ACTIVE, PRIORITIZED, DELAYED, EVENTS, MARKER, LIMITER, STALLED, COMPLETED = unpack(KEYS)
local QUICK_FROM, QUICK_SIZE, OTHER_SIZE = 17, 4, 12
-- BullMQ's value for "rate limited by hand": honoured even where no limiter is configured.
local MANUAL_LIMIT = 9007199254740991
-- A turn never looks past more suspects, and jobs without a place by their key, than this.
local MAX_PASSED, MAX_ASIDE = 100, 200

local ARGS, call, format = ARGV, redis.call, string.format
local base, now, lock_ms, token_prefix, worker_name, take, busy, limiter_max, limiter_ms, quick, keep_count, keep_age_s,
  keep_limit, clock_ms, key_most, key_path = unpack(ARGS, 1, 16)
take, quick = tonumber(take), tonumber(quick)
if clock_ms ~= '' then
  local time = call('TIME')
  local told = time[1] * 1000 + math.floor(time[2] / 1000) + clock_ms
  if math.abs(told - now) < 60000 then
    now = format('%.0f', told)
  end
end
local now_ms = tonumber(now)
local others_from, keys_from = QUICK_FROM + quick * QUICK_SIZE, #ARGS + 1
local limit = key_most ~= '' and limit_in_turn(base, key_most, key_path)
if limit then
  keys_from = others_from + (keys_from - others_from - quick) / (OTHER_SIZE + 1) * OTHER_SIZE
end

local settings = call('HMGET', META, 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
local max_len = max_events(META, settings[5])

-- A job that is retried at once goes behind those that are due; else BullMQ's finish comes before the promotion.
local promoted = false
for at = others_from, keys_from - 1, OTHER_SIZE do
  if not promoted and ARGS[at + 2] == 'r' and ARGS[at + 5] == '0' then
    promoted = true
    promote_due(base, now_ms, limit)
  end
end

-- 1. The finishes: the quick ones share commands where all of them are as plain as they were when taken.
local codes, ended, limiter_text = {}, false, nil
if #ARGS >= QUICK_FROM then
  call('XTRIM', EVENTS, 'MAXLEN', '~', max_len)
end
if quick > 0 then
  local ids, tokens = {}, {}
  for i = 1, quick do
    local at = QUICK_FROM + (i - 1) * QUICK_SIZE
    ids[i], tokens[i] = ARGS[at], ARGS[at + 1]
  end
  local jobs, locks
  jobs, locks, limiter_text = plain_completions(base, ids, tokens, LIMITER)
  if jobs then
    call('ZCARD', COMPLETED) -- an error now, not when the ids are out of active
    call('SREM', STALLED, unpack(ids))
    local missing = take_out(ACTIVE, ids)
    local scored, gone = {}, missing and {} or locks
    for i = 1, quick do
      local at, id = QUICK_FROM + (i - 1) * QUICK_SIZE, ids[i]
      if missing and missing[id] then
        codes[i] = -3
      else
        local value = ARGS[at + 2]
        codes[i], ended = 0, true
        if missing then
          gone[#gone + 1] = locks[i]
        end
        if keep_count == '0' then
          delete_job(base, id)
        else
          scored[#scored + 1] = now
          scored[#scored + 1] = id
          redis.pcall('HSET', jobs[i], 'atm', ARGS[at + 3], 'returnvalue', value, 'finishedOn', now)
        end
        call('XADD', EVENTS, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
      end
    end
    if ended then
      call('DEL', unpack(gone))
    end
    if scored[1] then
      call('ZADD', COMPLETED, unpack(scored))
      if keep_count ~= '' or keep_age_s ~= '' then
        trim_finished(base, COMPLETED, now_ms, tonumber(keep_count), tonumber(keep_age_s), tonumber(keep_limit))
      end
    end
  else
    check_places(base)
    for i = 1, quick do
      local at, over = QUICK_FROM + (i - 1) * QUICK_SIZE, nil
      codes[i], over = finish_job(base, now_ms, max_len, ids[i], tokens[i], 'c', ARGS[at + 2], '', '0', keep_count,
        keep_age_s, keep_limit, '0', '0', '')
      ended = ended or over
    end
  end
end
if others_from < keys_from then
  limiter_text = nil -- they may set it
  check_places(base)
end
for at = others_from, keys_from - 1, OTHER_SIZE do
  local code, over = finish_job(base, now_ms, max_len, unpack(ARGS, at, at + OTHER_SIZE - 1))
  codes[#codes + 1], ended = code, ended or over
end
if limit and #codes > 0 then
  limit.leave(codes, QUICK_FROM, QUICK_SIZE, others_from, OTHER_SIZE, keys_from)
end

-- 2. The take.
local rows, limited_ms, next_due_ms, blocked = {}, -1, -1, false
local passed, passed_waiting, passed_prioritized, stop = 0, {}, {}, false
local first_due_ms, wait_empty, all_empty = -1, false, false
if take > 0 then
  first_due_ms = next_due(DELAYED)
  if not promoted and first_due_ms >= 0 and first_due_ms <= now_ms then
    promote_due(base, now_ms, limit)
    first_due_ms = next_due(DELAYED)
  end
  if not ended then -- else a finish has used both: an error now, not when ids are out of wait
    call('LLEN', ACTIVE)
    call('XLEN', EVENTS)
  end
end
local concurrency = tonumber(settings[2] or '')
local most = tonumber(settings[3] or '') or tonumber(limiter_max)
local window_ms = tonumber(limiter_ms) or tonumber(settings[4] or '')
while #rows < take and passed < MAX_PASSED and not stop and not (limit and limit.aside >= MAX_ASIDE) do
  -- How many may start now, by limiter, pause and global concurrency.
  local count, rest = take - #rows, nil
  local counted
  if limiter_text == nil then
    limiter_text = call('GET', LIMITER)
  end
  if limiter_text or most then
    counted, rest = window_of(LIMITER, limiter_text, most or MANUAL_LIMIT)
    if rest > 0 then
      limited_ms = rest
      break
    end
    most = counted and most
  end
  local room = concurrency and concurrency - call('LLEN', ACTIVE) or count
  if settings[1] or room <= 0 then
    blocked = true
    next_due_ms = first_due_ms -- promoted on time all the same
    break
  end
  if room < count or most then -- limits may be fractions, counts not
    count = math.ceil(math.min(count, room, most and most - counted or count))
  end

  -- The next ids to run, out of their container; their scores too when they were prioritized.
  local moved, ids, scores
  if count == 1 and not wait_empty and not limit then
    moved = call('RPOPLPUSH', WAIT, ACTIVE)
    ids = moved and { moved }
  elseif not wait_empty then
    ids = call('RPOP', WAIT, count)
  end
  wait_empty = (not ids or #ids < count) and not limit -- one may come back (limit.admit)
  if not ids then
    ids, scores = {}, {}
    if call('EXISTS', PRIORITIZED, base .. 'pc') > 0 then
      local popped = call('ZPOPMIN', PRIORITIZED, count)
      for i = 1, #popped, 2 do
        ids[#ids + 1], scores[#scores + 1] = popped[i], popped[i + 1]
      end
    end
    if #ids == 0 then
      if #passed_prioritized == 0 then
        call('DEL', base .. 'pc')
      end
      all_empty = true
      next_due_ms = limit and next_due(DELAYED) or first_due_ms
      break
    end
  end

  -- They start, as far as suspects allow. Jobs that only fail (defa) do not count for the limiter.
  local started, counts = {}, 0
  local found = limit and limit.look_up(limit, base, ids)
  for i = 1, #ids do
    local id = ids[i]
    if found and found[id] == false then -- popped twice, and a row is sent once
      found[id] = limit.look_up(limit, base, { id })[id]
    end
    local row = not stop and (found and found[id] or read_job(base .. id))
    if found then
      found[id] = false
    end
    local alone = row and row.sus and busy == '0' and #rows == 0 and passed == 0
    if stop or row and row.sus and not alone then -- goes back at the end
      passed = passed + (stop and 0 or 1)
      if scores then
        passed_prioritized[#passed_prioritized + 1] = scores[i]
        passed_prioritized[#passed_prioritized + 1] = id
      else
        passed_waiting[#passed_waiting + 1] = id
      end
    elseif row and string.sub(id, 1, 2) ~= '0:' then -- such ids are markers of old versions, not jobs
      if limit then
        id, row = limit.admit(limit, ids, scores, i, row, now_ms, max_len)
      end
      if id then
        local job, key = base .. id, row.key
        local ats = '1'
        if row.ats then -- what is no count begins anew: nobody could read it back
          local before = tonumber(row.ats) or 0
          ats = before >= 0 and before < 9007199254740991 and format('%.0f', before + 1) or ats
        end
        call('SET', job .. ':lock', token_prefix .. ats, 'PX', lock_ms)
        call('XADD', EVENTS, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
        local by = worker_name ~= '' and 'pb'
        if key then
          call('HSET', job, 'processedOn', now, 'ats', ats, 'jobdkey', key, by or 'jobdkey', by and worker_name or key)
        elseif by then
          call('HSET', job, 'processedOn', now, by, worker_name, 'ats', ats)
        else
          call('HSET', job, 'processedOn', now, 'ats', ats)
        end
        local size = #row
        row[size + 1], row[size + 2] = 'ats', ats
        if limit then
          row[size + 3], row[size + 4] = 'jobdkey', key or ''
        end
        row[#row + 1] = id
        rows[#rows + 1], started[#started + 1] = row, id
        counts = counts + (row.defa and 0 or 1)
        stop = alone
      end
    end
  end
  if started[1] and not moved then
    call('LPUSH', ACTIVE, unpack(started))
  elseif moved and not started[1] then
    call('LPOP', ACTIVE)
  end
  if most and window_ms and counts > 0 then
    limiter_text = nil
    if redis.pcall('INCRBY', LIMITER, counts) == counts then
      redis.pcall('PEXPIRE', LIMITER, format('%.0f', window_ms))
    end
  end
end

-- 3. What was passed over goes back, and idle workers are woken where something is left for them. BullMQ wakes one after
-- every take; it then looks in vain.
for i = #passed_waiting, 1, -1 do
  call('RPUSH', WAIT, passed_waiting[i])
end
if passed_prioritized[1] then
  call('ZADD', PRIORITIZED, unpack(passed_prioritized))
end
local aside = limit and limit.aside or 0
if limit then
  limit.save()
end
if #rows > 0 or aside >= MAX_ASIDE then
  local looked = all_empty and aside == 0 and not passed_waiting[1] and not passed_prioritized[1]
  if next_due_ms >= 0 or not looked and call('EXISTS', WAIT, PRIORITIZED, DELAYED) > 0 then
    call('ZADD', MARKER, 0, '0')
  end
end
if ended and #rows == 0 and limited_ms < 0 and next_due_ms < 0 and not blocked then
  note_drained(base)
end
return { codes, rows, limited_ms, next_due_ms, blocked and 1 or 0, passed > 0 and 1 or 0 }
