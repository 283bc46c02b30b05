-- turn: finish these jobs, then take up to n more.
-- Promise:    each finish is accepted or refused by itself, and only for the attempt its token names; each job taken is
--             active, locked and counted (ats). Refused jobs are unchanged; the id of a deleted one leaves active.
-- KEYS:       1 meta (hash)   From base also: wait, active, prioritized, delayed, events, marker, limiter, stalled,
--             completed, failed, waiting-children, paused, pc, id, de:, dn:, and per job its hash, lock and sub keys; of
--             a child its parent's keys (settle_child), in whatever queue; jobd-keys and jobd-aside: (holders_of).
-- ARGV:       1 base (prefix of the queue, ends in a colon)   2 now_ms   3 lock_ms   4 token_prefix (ends in a colon)
--             5 worker_name ("" none)   6 take (most jobs wanted)   7 busy (jobs running beside the finished ones)
--             8 extras (how many of the next words are there: 0, 1, 3 or 5)
--             9 on: clock_ms ("": now_ms holds; else this turn waited behind a BZPOPMIN, the time is Redis' plus this, if
--                that is within a minute of now_ms, when it was sent: no wait is longer, so a clock was set since);
--                limiter_max and limiter_ms ("" none); key_most (most jobs of one key at once) and key_path (names
--                joined by dots, into data, or into opts when the first one is opts)
--             then, when there are finishes: quick (how many quick ones: completed, without deduplication id or parent,
--                not suspect), keep (the rule of these: "" all, "0" none, else "count age_s limit" with nothing for
--                none), token and made (the new atm) when they are the same for all of these, else ""; custom (1: not
--                all ids of these were counted by Redis)
--             then of the quick ones all job ids, all returnvalues and, without that token, all tokens, all new atm
--             then, 12 each, the others: job id, token, outcome (states.Outcome), value, stacktrace ("" leave),
--                delay_ms, keep_count, keep_age_s, keep_limit, attempts, lifo (1 or 0),
--                dead (base of the queue that gets a copy of a failed job, "" none)
--             then with key_most, 1 each, all finishes in this order: the key ("" none)
-- Returns:    0: every finish was accepted, nothing was taken and nothing is to be told. Else
--             1 0, or the list: codes of the finishes, quick ones first (codes.py: 0, -1, -2, -3, -4, -6, -9), or 0 when
--                all were accepted; limited_ms; next_due_ms (-1 none); blocked (1); suspects were passed over (1)
--             then per job taken, when it is a plain one that is started for the first time, 4 each: timestamp (13 bytes)
--                and the id, name, data, opts; of any other a list: the row of read_job, then ats (the new one), with
--                key_most jobdkey ("" none), then the id
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

local base, now, lock_ms, token_prefix, worker_name = ARGS[1], ARGS[2], ARGS[3], ARGS[4], ARGS[5]
local take, busy, at = ARGS[6] + 0, ARGS[7], ARGS[8] + 9
local WAIT, ACTIVE, EVENTS, MARKER = base .. 'wait', base .. 'active', base .. 'events', base .. 'marker'
local LIMITER, DELAYED, PRIORITIZED = base .. 'limiter', base .. 'delayed', base .. 'prioritized'
local ahead, clock_ms, limiter_max, limiter_ms, key_most, key_path
if at > 9 then
  clock_ms, limiter_max, limiter_ms, key_most, key_path = unpack(ARGS, 9, at - 1)
  if clock_ms ~= '' then
    ahead = true
    local time = call('TIME')
    local told = time[1] * 1000 + math.floor(time[2] / 1000) + clock_ms
    if math.abs(told - now) < 60000 then
      now = string.format('%.0f', told)
    end
  end
end
local now_ms = now + 0
local settings = call('HMGET', KEYS[1], 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
local limit, max_len
if at <= #ARGS or key_most or not settings[5] then
  -- include here: max_events
  max_len = max_events(KEYS[1], settings[5])
end
if key_most then
  -- include here: limit_in_turn
  limit = limit_in_turn(base, key_most, key_path)
end

-- 1. The finishes: the quick ones share commands where all of them are as plain as they were when taken.
local codes, ended, promoted = nil, false, false
if at <= #ARGS then
  local quick, keep, token, made, custom = ARGS[at] + 0, ARGS[at + 1], ARGS[at + 2], ARGS[at + 3], ARGS[at + 4] ~= ''
  local same = token ~= ''
  -- Each names the place before the first word of its kind.
  local IDS = at + 4
  local VALUES, TOKENS, MADE = IDS + quick, IDS + 2 * quick, IDS + 3 * quick
  local others_from, keys_from = (same and TOKENS or MADE + quick) + 1, #ARGS + 1
  if limit then
    keys_from = others_from + (keys_from - others_from - quick) / (OTHER_SIZE + 1) * OTHER_SIZE
  end
  local count, age_s, trim = nil, nil, nil
  if keep ~= '' then
    count, age_s, trim = string.match(keep, '^(%S*) (%S*) (%S*)$')
  end

  -- A job that is retried at once goes behind those that are due; else BullMQ's finish comes before the promotion.
  for i = others_from, keys_from - 1, OTHER_SIZE do
    if not promoted and ARGS[i + 2] == 'r' and ARGS[i + 5] == '0' then
      -- include here: promote_due
      promoted = true
      promote_due(base, now_ms, limit)
    end
  end
  call('XTRIM', EVENTS, 'MAXLEN', '~', max_len)

  -- Plain are they when their locks are the tokens, their hashes are there, and none has children or, attached while it
  -- ran by an add of the same id, a parent. Nobody can add an id again that Redis has counted.
  local jobs, locks, plain = {}, {}, quick > 0
  if plain then
    local children = {}
    for i = 1, quick do
      local job = base .. ARGS[IDS + i]
      jobs[i], locks[i] = job, job .. ':lock'
      children[2 * i - 1], children[2 * i] = job .. ':dependencies', job .. ':unsuccessful'
    end
    local held = call('MGET', unpack(locks))
    for i = 1, quick do
      if held[i] ~= (same and token or ARGS[TOKENS + i]) or custom and try('HEXISTS', jobs[i], 'parentKey') == 1 then
        plain = false
        break
      end
    end
    if quick == 1 then -- EXISTS counts a key as often as it is named: all three, which two of others cannot make up
      plain = plain and call('EXISTS', jobs[1], jobs[1], jobs[1], children[1], children[2]) == 3
    else
      plain = plain and call('EXISTS', unpack(jobs)) == quick and call('EXISTS', unpack(children)) == 0
    end
  end
  if plain then
    local completed = base .. 'completed'
    call('ZCARD', completed) -- an error now, not when the ids are out of active
    call('SREM', base .. 'stalled', unpack(ARGS, IDS + 1, IDS + quick))
    local missing
    if quick == 1 then
      missing = call('LREM', ACTIVE, -1, ARGS[IDS + 1]) == 0 and { [ARGS[IDS + 1]] = true }
    else
      local tail = call('LRANGE', ACTIVE, -quick, -1)
      local in_order = true
      for i = 1, quick do
        if tail[quick + 1 - i] ~= ARGS[IDS + i] then
          in_order = false
          break
        end
      end
      if in_order then
        call('LTRIM', ACTIVE, 0, -quick - 1)
      else
        -- include here: take_out
        missing = take_out(ACTIVE, { unpack(ARGS, IDS + 1, IDS + quick) })
      end
    end
    local scored, gone, removed = {}, missing and {} or locks, count == '0'
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
          scored[#scored + 1] = now
          scored[#scored + 1] = id
          try('HSET', job, 'atm', same and made or ARGS[MADE + i], 'returnvalue', value, 'finishedOn', now)
        end
        call('XADD', EVENTS, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
      end
    end
    if ended then
      call('DEL', unpack(gone))
    end
    if scored[1] then
      call('ZADD', completed, unpack(scored))
      if keep ~= '' then
        -- include here: trim_finished
        trim_finished(base, completed, now_ms, tonumber(count), tonumber(age_s), tonumber(trim))
      end
    end
  end
  if quick > 0 and not plain or others_from < keys_from then
    -- include here: check_places
    -- include here: finish_job
    check_places(base)
    codes = codes or {}
    for i = 1, quick do
      local over
      if plain then
        codes[i] = codes[i] or 0
      else
        local job_token = same and token or ARGS[TOKENS + i]
        codes[i], over = finish_job(base, now_ms, max_len, ARGS[IDS + i], job_token, 'c', ARGS[VALUES + i], '', '0',
          count, age_s, trim, '0', '0', '')
        ended = ended or over
      end
    end
    for i = others_from, keys_from - 1, OTHER_SIZE do
      local code, over = finish_job(base, now_ms, max_len, unpack(ARGS, i, i + OTHER_SIZE - 1))
      codes[#codes + 1], ended = code, ended or over
    end
  end
  if limit then
    limit.leave(codes, IDS + 1, quick, others_from, OTHER_SIZE, keys_from)
  end
end

-- 2. The take.
local reply, size, taken, limited_ms, next_due_ms, blocked = { 0 }, 1, 0, -1, -1, false
local passed, passed_waiting, passed_prioritized, stop = 0, nil, nil, false
local rare, first_due_ms, wait_empty, all_empty = false, -1, false, false
-- Whether the keys that are about to change are known to be of their types: an error now, not when ids are out of wait.
local checked = ended
if take > 0 and (limit or call('EXISTS', LIMITER, DELAYED, PRIORITIZED, base .. 'pc') > 0) then
  -- include here: next_due
  rare = true
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
local concurrency = settings[2] and tonumber(settings[2])
local most = settings[3] and tonumber(settings[3]) or limiter_max and tonumber(limiter_max)
local window_ms = limiter_ms and tonumber(limiter_ms) or settings[4] and tonumber(settings[4])
local first_token, by = token_prefix .. '1', worker_name ~= '' and 'pb'
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
    if rare and call('EXISTS', PRIORITIZED, base .. 'pc') > 0 then
      local popped = call('ZPOPMIN', PRIORITIZED, count)
      for i = 1, #popped, 2 do
        ids[#ids + 1], scores[#scores + 1] = popped[i], popped[i + 1]
      end
      if #ids == 0 and not passed_prioritized then
        call('DEL', base .. 'pc')
      end
    end
    if #ids == 0 then
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
      for i = #ids, 1, -1 do
        call('RPUSH', WAIT, ids[i])
      end
      if moved then
        call('LPOP', ACTIVE)
      end
      return type(actives) == 'table' and actives or events
    end
  end

  -- They start, as far as suspects allow. Jobs that only fail (defa) do not count for the limiter.
  -- include here when used: read_job
  local started, locks, n, exempt = {}, {}, 0, 0
  local found = limit and limit.look_up(limit, base, ids)
  local one_by_one = limit or #ids == 1
  for i = 1, #ids do
    local id = ids[i]
    local job = base .. id
    local row, plain, ats, key = nil, false, '1', nil
    if not (stop or scores or limit) and try('HLEN', job) == 6 then
      -- The fields that every producer writes, and no other. The last two, delay and priority, are 0 for a job of wait,
      -- but for one that its options delayed and BullMQ's promoteJobs put here as it was.
      row = call('HMGET', job, 'name', 'data', 'opts', 'timestamp')
      plain = row[1] and row[2] and row[3] and row[4] and #row[4] == 13
      if plain and (find(row[3], 'delay', 1, true) or find(row[3], 'priority', 1, true)) then
        local rest = call('HMGET', job, 'delay', 'priority')
        plain = rest[1] == '0' and rest[2] == '0'
      end
    end
    if not plain then
      if found and found[id] == false then -- popped twice, and a row is sent once
        found[id] = limit.look_up(limit, base, { id })[id]
      end
      row = not stop and (found and found[id] or read_job(job)) or nil
      if found then
        found[id] = false
      end
      local alone = row and row.sus and busy == '0' and taken == 0 and passed == 0
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
      elseif row and limit then
        id, row = limit.admit(limit, ids, scores, i, row, now_ms, max_len)
        job = id and base .. id
      end
      if row then
        stop, key = alone, row.key
        exempt = exempt + (row.defa and 1 or 0)
        if row.ats then -- what is no count begins anew: nobody could read it back
          local before = tonumber(row.ats) or 0
          ats = before >= 0 and before < 9007199254740991 and string.format('%.0f', before + 1) or ats
        end
      end
    end
    if row then
      n, taken = n + 1, taken + 1
      started[n] = id
      local token = ats == '1' and first_token or token_prefix .. ats
      if one_by_one then
        call('SET', job .. ':lock', token, 'PX', lock_ms)
      else
        locks[2 * n - 1], locks[2 * n] = job .. ':lock', token
      end
      call('XADD', EVENTS, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
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
    call('MSET', unpack(locks)) -- then PEXPIRE: cheaper than SET with PX, which Redis writes anew for its replicas
    for i = 1, #locks, 2 do
      call('PEXPIRE', locks[i], lock_ms)
    end
  end
  if n > 0 and not moved then
    call('LPUSH', ACTIVE, unpack(started))
  elseif moved and n == 0 then
    call('LPOP', ACTIVE)
  end
  if most and window_ms and n > exempt then
    limiter_text = nil
    if try('INCRBY', LIMITER, n - exempt) == n - exempt then
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
local aside = limit and limit.aside or 0
if limit then
  limit.save()
end
if taken > 0 or aside >= MAX_ASIDE then
  local looked = (all_empty or wait_empty and not rare) and aside == 0 and not (passed_waiting or passed_prioritized)
  if next_due_ms >= 0 or not looked and call('EXISTS', WAIT, PRIORITIZED, DELAYED) > 0 then
    call('ZADD', MARKER, '0', '0')
  elseif looked and (taken > 1 or not ahead) then
    call('ZREM', MARKER, '0') -- of the jobs taken here: their markers would wake a worker for nothing
  end
end
if ended and taken == 0 and limited_ms < 0 and next_due_ms < 0 and not blocked then
  if call('EXISTS', WAIT, ACTIVE, PRIORITIZED) == 0 then
    call('XADD', EVENTS, '*', 'event', 'drained')
  end
end
if codes or limited_ms >= 0 or next_due_ms >= 0 or blocked or passed > 0 then
  reply[1] = { codes or 0, limited_ms, next_due_ms, blocked and 1 or 0, passed > 0 and 1 or 0 }
elseif taken == 0 then
  return 0
end
return reply
