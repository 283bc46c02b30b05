-- turn: finish these jobs, then take up to n more.
-- Promise:    each finish is accepted or refused by itself, and only for the attempt its token names; each job taken is
--             active, locked and counted (ats). Refused jobs are unchanged; the id of a deleted one leaves active. An id
--             that is the name of another key of the queue is dropped, and the key unchanged.
-- KEYS:       1 meta (hash)   From base also: wait, active, prioritized, delayed, events, marker, limiter, stalled,
--             completed, failed, waiting-children, paused, pc, id, de:, dn:, and per job its hash, lock and sub keys; of
--             a child its parent's keys (settle_child), in whatever queue; jobd-keys and jobd-aside: (holders_of).
-- ARGV:       1 head, 10 or 15 values packed by msgpack, each text or nil: base (prefix of the queue, ends in a colon),
--                lock_ms, token_prefix (ends in a colon), worker_name ("" none), now_ms, take (most jobs wanted), busy
--                (jobs running beside the finished ones), clock_ms (nil: now_ms holds; else told_time says what holds),
--                limiter (nil or {max, duration_ms}), per_key (nil or {most, path}: as limit_per_key);
--                when there are finishes: quick (how many quick ones: completed, without deduplication id or parent, not
--                suspect), keep (the rule of these: nil all, else {count, age_s, limit} with "" for none), token and made
--                (the new atm) when they are the same for all of these, else nil; custom (true: not all ids of these were
--                counted by Redis)
--             then of the quick ones all job ids, all returnvalues and, without that token, all tokens, all new atm
--             then, 12 each, the others: job id, token, outcome (states.Outcome), value, stacktrace ("" leave),
--                delay_ms, keep_count, keep_age_s, keep_limit, attempts, lifo (1 or 0),
--                dead (base of the queue that gets a copy of a failed job, "" none)
--             then with per_key, 1 each, all finishes in this order: the key ("" none)
-- Returns:    0: every finish was accepted, nothing was taken and nothing is to be told. Else
--             1 0, or the list: codes of the finishes, quick ones first (codes.py: 0, -1, -2, -3, -4, -6, -9), or 0 when
--                all were accepted; limited_ms; next_due_ms (-1 none); blocked (1); suspects were passed over (1)
--             then per job taken, when it is a plain one that is started for the first time: timestamp (13 bytes) and
--                the id, name, data, opts, with per_key the key ("" none); of any other a list: the row of read_job, then
--                ats (the new one), with per_key jobdkey ("" none), then the id
-- Events:     per finish those of end_job, put_back, put_delayed, or waiting-children (prev active) and those of
--             release_parent; promote_due; active per taken job; drained
-- Complexity: O(finishes + taken), plus the place in active of each finished id, plus what trimming deletes

-- Written as one piece: a function is made anew at every call of a script, so what every turn needs stands in the open
-- and what few turns need is made when it is used (docs/decisions/0021-lua-when-used.md).

local ARGS, call, try, find = ARGV, redis.call, redis.pcall, string.find
local OTHER_SIZE = 12
-- BullMQ's value for "rate limited by hand": honoured even where no limiter is configured.
local MANUAL_LIMIT = 9007199254740991
-- A turn never looks past more suspects, and jobs without a place by their key, than this.
local MAX_PASSED, MAX_ASIDE = 100, 200

local base, lock_ms, token_prefix, worker_name, now, take_text, busy, clock_ms, limiter, per_key, quick_text, keep, token,
  made, custom = cmsgpack.unpack(ARGS[1])
local WAIT, ACTIVE, EVENTS, MARKER = base .. 'wait', base .. 'active', base .. 'events', base .. 'marker'
local LIMITER, DELAYED, PRIORITIZED = base .. 'limiter', base .. 'delayed', base .. 'prioritized'
local max_len, paused, concurrency, most = unpack(call('HMGET', KEYS[1], 'opts.maxLenEvents', 'paused', 'concurrency',
  'max'))
if max_len ~= '10000' then
  -- include here: max_events
  max_len = max_events(KEYS[1], max_len)
end
local limit = nil
if per_key then
  -- include here: limit_in_turn
  limit = limit_in_turn(base, per_key[1], per_key[2])
end
-- A turn sent ahead learns the time where it needs it.
local untold = clock_ms
if untold and quick_text then
  -- include here: told_time
  now, untold = told_time(now, clock_ms), nil
end

-- 1. The finishes: the quick ones share commands where all of them are as plain as they were when taken.
local codes, ended, promoted = nil, false, false
if quick_text then
  local quick, same, now_ms = quick_text + 0, token ~= nil, now + 0
  -- Each names the place before the first word of its kind.
  local IDS = 1
  local VALUES, TOKENS, MADE = IDS + quick, IDS + 2 * quick, IDS + 3 * quick
  local others_from, keys_from = (same and TOKENS or MADE + quick) + 1, #ARGS + 1
  if limit then
    keys_from = others_from + (keys_from - others_from - quick) / (OTHER_SIZE + 1) * OTHER_SIZE
  end
  local count, age_s, trim = unpack(keep or {})

  -- A job that is retried at once goes behind those that are due; else BullMQ's finish comes before the promotion.
  for i = others_from, keys_from - 1, OTHER_SIZE do
    if not promoted and ARGS[i + 2] == 'r' and ARGS[i + 5] == '0' then
      -- include here: promote_due
      promoted = true
      promote_due(base, now_ms, limit)
    end
  end
  call('XTRIM', EVENTS, 'MAXLEN', '~', max_len)
  local jobs, locks, stalled
  if quick > 0 then
    -- include here: look_if_plain
    jobs, locks, stalled = look_if_plain(base, quick, IDS, token, TOKENS, custom)
  end
  local plain = jobs ~= nil
  if plain then
    local completed = base .. 'completed'
    call('ZCARD', completed) -- an error now, not when the ids are out of active
    if stalled then
      call('SREM', stalled, unpack(ARGS, IDS + 1, IDS + quick))
    end
    local missing
    if quick == 1 then
      missing = call('LREM', ACTIVE, '-1', ARGS[IDS + 1]) == 0 and { [ARGS[IDS + 1]] = true }
    else
      local tail = call('RPOP', ACTIVE, quick_text) or {}
      for i = 1, quick do
        if tail[i] ~= ARGS[IDS + i] then
          -- include here: take_out
          missing = take_out(ACTIVE, { unpack(ARGS, IDS + 1, IDS + quick) }, tail)
          break
        end
      end
    end
    local scored = { nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }
    local score, gone, removed = 0, missing and {} or locks, count == '0'
    codes = missing and {}
    for i = 1, quick do
      local id, value, job = ARGS[IDS + i], ARGS[VALUES + i], jobs[i]
      if missing and missing[id] then
        codes[i] = -3
      else
        ended = true
        local size = #gone
        if missing then
          codes[i] = 0
          size = size + 1
          gone[size] = locks[i]
        end
        if removed then -- without the sub keys that it has not
          gone[size + 1], gone[size + 2], gone[size + 3], gone[size + 4] = job, job .. ':logs', job .. ':processed',
            job .. ':failed'
        else
          score = score + 2
          scored[score - 1], scored[score] = now, id
          try('HSET', job, 'atm', same and made or ARGS[MADE + i], 'returnvalue', value, 'finishedOn', now)
        end
        call('XADD', EVENTS, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
      end
    end
    if ended then
      call('DEL', unpack(gone))
    end
    if scored[1] then
      call('ZADD', completed, unpack(scored, 1, score))
      if keep then
        -- include here: trim_finished
        trim_finished(base, completed, now_ms, tonumber(count), tonumber(age_s), tonumber(trim))
      end
    end
  end
  if quick > 0 and not plain or others_from < keys_from then
    -- include here: finish_each
    local over
    codes, over = finish_each(base, now_ms, max_len, codes, plain and { quick } or { quick, IDS, VALUES, TOKENS, token, keep },
      others_from, keys_from - 1, OTHER_SIZE)
    ended = ended or over
  end
  if limit then
    limit.leave(codes, IDS + 1, quick, others_from, OTHER_SIZE, keys_from)
  end
end

-- 2. The take.
local take, now_ms = take_text + 0, nil
local reply, size, taken, limited_ms, next_due_ms, blocked = nil, 1, 0, -1, -1, false
local passed, passed_waiting, passed_prioritized, stop = 0, nil, nil, false
local rare, first_due_ms, wait_empty, all_empty = false, -1, false, false
-- Whether the keys that are about to change are known to be of their types: an error now, not when ids are out of wait.
local checked = ended
if take > 0 and (limit or call('EXISTS', LIMITER, DELAYED, PRIORITIZED, base .. 'pc') > 0) then
  -- include here: next_due
  if untold then
    -- include here: told_time
    now, untold = told_time(now, clock_ms), nil
  end
  rare, now_ms = true, now + 0
  first_due_ms = next_due(DELAYED)
  if not promoted and first_due_ms >= 0 and first_due_ms <= now_ms then
    -- include here: promote_due
    promote_due(base, now_ms, limit)
    first_due_ms = next_due(DELAYED)
  end
  if not checked then
    checked = true
    call('LLEN', ACTIVE)
    call('XLEN', EVENTS)
  end
end
local limiter_text = rare and call('GET', LIMITER)
concurrency, most = concurrency and tonumber(concurrency), most and tonumber(most) or limiter and tonumber(limiter[1])
while taken < take and passed < MAX_PASSED and not stop and not (limit and limit.aside >= MAX_ASIDE) do
  -- How many may start now, by limiter, pause and global concurrency.
  local count, counted = take - taken, nil
  if limiter_text == nil then
    limiter_text = call('GET', LIMITER)
  end
  if limiter_text or most then
    -- include here: window_of
    local rest
    counted, rest = window_of(LIMITER, limiter_text, most or MANUAL_LIMIT)
    if rest > 0 then
      limited_ms = rest
      break
    end
    most = counted and most
  end
  local room = concurrency and concurrency - call('LLEN', ACTIVE) or count
  if paused or room <= 0 then
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
    ids = call('RPOP', WAIT, count == take and take_text or count)
  end
  wait_empty = (not ids or #ids < count) and not limit -- one may come back (limit.admit)
  if not ids then
    if rare and call('EXISTS', PRIORITIZED, base .. 'pc') > 0 then
      local popped = call('ZPOPMIN', PRIORITIZED, count)
      for i = 1, #popped, 2 do
        ids, scores = ids or {}, scores or {}
        ids[#ids + 1], scores[#scores + 1] = popped[i], popped[i + 1]
      end
      if not ids and not passed_prioritized then
        call('DEL', base .. 'pc')
      end
    end
    if not ids then
      all_empty = true
      next_due_ms = first_due_ms
      if limit then
        -- include here: next_due
        next_due_ms = next_due(DELAYED)
      end
      break
    end
  elseif not checked then
    checked = true
    local actives, events = moved or try('LLEN', ACTIVE), try('XLEN', EVENTS)
    if type(actives) == 'table' or type(events) == 'table' then
      -- include here: give_back
      give_back(WAIT, ids, moved and ACTIVE)
      return type(actives) == 'table' and actives or events
    end
  end

  -- They start, as far as suspects allow. Jobs that only fail (defa) do not count for the limiter.
  -- include here when used: read_job
  -- With room for a few from the start: a table that grows entry by entry is made anew at each power of two.
  reply = reply or { 0, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
    nil, nil, nil, nil, nil, nil }
  local locks, n, exempt = { nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }, 0, 0
  local first_token, by, one_by_one = token_prefix .. '1', worker_name ~= '' and 'pb', #ids == 1
  local plain_opts, event
  for i = 1, #ids do
    local id = ids[i]
    local job = base .. id
    local row, plain, ats, key, alone = nil, false, '1', nil, false
    if not (stop or scores) and try('HLEN', job) == 6 then
      -- The fields that every producer writes, and no other. The last two, delay and priority, are 0 for a job of wait,
      -- but for one that its options delayed and BullMQ's promoteJobs put here as it was.
      row = call('HMGET', job, 'name', 'data', 'opts', 'timestamp')
      plain = row[1] and row[2] and row[3] and row[4] and #row[4] == 13
      if plain and row[3] ~= plain_opts then
        plain_opts = row[3]
        if find(plain_opts, 'delay', 1, true) or find(plain_opts, 'priority', 1, true) then
          local rest = call('HMGET', job, 'delay', 'priority')
          plain, plain_opts = rest[1] == '0' and rest[2] == '0', nil
        end
      end
    end
    if not plain then
      row = not stop and read_job(base, id) or nil
      alone = row and row.sus and busy == '0' and taken == 0 and passed == 0
      if stop or row and row.sus and not alone then -- goes back at the end
        row, passed = nil, passed + (stop and 0 or 1)
        if scores then
          passed_prioritized = passed_prioritized or {}
          passed_prioritized[#passed_prioritized + 1] = scores[i]
          passed_prioritized[#passed_prioritized + 1] = id
        else
          passed_waiting = passed_waiting or {}
          passed_waiting[#passed_waiting + 1] = id
        end
      elseif string.sub(id, 1, 2) == '0:' then -- a marker of an old version, no job
        row = nil
      end
    end
    if row and limit then
      local first
      first, key = limit.admit(limit, ids, scores, i, row, plain, now_ms, max_len)
      if first ~= id then
        id, plain = first, false
        job = id and base .. id
        row = id and read_job(base, id)
      end
    end
    if row then
      if not plain then
        stop, exempt = alone, exempt + (row.defa and 1 or 0)
        if row.ats then -- what is no count begins anew: nobody could read it back
          local before = tonumber(row.ats) or 0
          ats = before >= 0 and before < 9007199254740991 and string.format('%.0f', before + 1) or ats
        end
      end
      n, taken = n + 1, taken + 1
      ids[n] = id -- in place of one that was looked at
      local token = ats == '1' and first_token or token_prefix .. ats
      if one_by_one then
        call('SET', job .. ':lock', token, 'PX', lock_ms)
      else
        locks[2 * n - 1], locks[2 * n] = job .. ':lock', token
      end
      event = call('XADD', EVENTS, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
      if untold then
        -- include here: told_time
        now, untold = told_time(now, clock_ms, event), nil
      end
      if key then
        call('HSET', job, 'processedOn', now, 'ats', ats, 'jobdkey', key, by or 'jobdkey', by and worker_name or key)
      elseif by then
        call('HSET', job, 'processedOn', now, by, worker_name, 'ats', ats)
      else
        call('HSET', job, 'processedOn', now, 'ats', ats)
      end
      if plain then
        reply[size + 1], reply[size + 2], reply[size + 3], reply[size + 4] = row[4] .. id, row[1], row[2], row[3]
        size = size + 4
        if limit then
          size = size + 1
          reply[size] = key or ''
        end
      else
        local last = #row
        row[last + 1], row[last + 2] = 'ats', ats
        if limit then
          row[last + 3], row[last + 4] = 'jobdkey', key or ''
        end
        row[#row + 1] = id
        size = size + 1
        reply[size] = row
      end
    end
  end
  if locks[1] then
    -- include here: lock_all
    lock_all(locks, n, lock_ms, now, event)
  end
  if n > 0 and not moved then
    call('LPUSH', ACTIVE, unpack(ids, 1, n))
  elseif moved and n == 0 then
    call('LPOP', ACTIVE)
  end
  if most and n > exempt then
    local window_ms = tonumber(limiter and limiter[2] or call('HGET', KEYS[1], 'duration') or '')
    limiter_text = nil
    if window_ms and try('INCRBY', LIMITER, n - exempt) == n - exempt then
      try('PEXPIRE', LIMITER, string.format('%.0f', window_ms))
    end
  end
end

-- 3. What was passed over goes back, and idle workers are woken where something is left for them. BullMQ wakes one after
-- every take; it then looks in vain.
for i = passed_waiting and #passed_waiting or 0, 1, -1 do
  call('RPUSH', WAIT, passed_waiting[i])
end
if passed_prioritized then
  call('ZADD', PRIORITIZED, unpack(passed_prioritized))
end
local aside = limit and limit.save() or 0
if taken > 0 or aside >= MAX_ASIDE then
  local looked = (all_empty or wait_empty and not rare) and aside == 0 and not (passed_waiting or passed_prioritized)
  if next_due_ms >= 0 or not looked and call('EXISTS', WAIT, PRIORITIZED, DELAYED) > 0 then
    call('ZADD', MARKER, '0', '0')
  elseif looked and (taken > 1 or not clock_ms) then
    call('ZREM', MARKER, '0') -- of the jobs taken here: their markers would wake a worker for nothing
  end
elseif ended and take == 0 and (limit or concurrency) and call('EXISTS', WAIT, PRIORITIZED) > 0 then
  -- include here: wake
  wake(base) -- adds left no marker while there was no room for their jobs
end
if ended and taken == 0 and limited_ms < 0 and next_due_ms < 0 and not blocked then
  if call('EXISTS', WAIT, ACTIVE, PRIORITIZED) == 0 then
    call('XADD', EVENTS, '*', 'event', 'drained')
  end
end
if codes or limited_ms >= 0 or next_due_ms >= 0 or blocked or passed > 0 then
  reply = reply or {}
  reply[1] = { codes or 0, limited_ms, next_due_ms, blocked and 1 or 0, passed > 0 and 1 or 0 }
elseif taken == 0 then
  return 0
end
return reply
