-- add_job: add one job or several hundred, in order.
-- Promise:    each job lies in Redis as BullMQ's own add would have put it, its events too; or, where its id or its
--             deduplication id is taken, the owner of that is told and only what BullMQ changes then has changed.
-- KEYS:       1 meta (hash)   made here from the base: id, wait, paused, active, prioritized, pc, delayed, completed,
--             marker, events, de:<id>, dn:<id>, the hashes of the jobs; of a child its parent's keys (attach_parent)
-- ARGV:       1 base (key prefix of the queue, ends in a colon)   2 now_ms (the jobs' timestamp, integer)
--             then four per job: name, data (JSON), opts (JSON), extra ('' or a JSON object with any of timestamp, id,
--             delay (ms), priority, lifo, de, parent; absent members are BullMQ's defaults)
-- Returns:    three per job: id, stream id of the add's last event, 0 added | 1 its id existed | 2 deduplicated
--             | -5 no such parent, nothing written | -7 the job has another parent (codes.py)
-- Events:     added, then waiting | delayed; or duplicated; or deduplicated (replace: removed, deduplicated, added, …)
-- Complexity: O(1) a job; O(log n) delayed or prioritized; O(active) with keepLastIfActive

-- What every add needs stands in the open, what few need is made when it is used (docs/decisions/0021-lua-when-used.md).

local call, format = redis.call, string.format
local meta, base, now = KEYS[1], ARGV[1], ARGV[2]
local first_job, fields = 3, 4

local events, now_ms = base .. 'events', tonumber(now)
local jobs = (#ARGV - first_job + 1) / fields
local extras, orphans, coming = {}, 0, {}

-- A job whose parent is nowhere costs no id, as in BullMQ; the parent may be a job before it in this row.
for number = 1, jobs do
  local text = ARGV[first_job + (number - 1) * fields + 3]
  if text ~= '' then
    local job = cjson.decode(text)
    extras[number] = job
    if job.parent and not coming[job.parent.key] and redis.call('EXISTS', job.parent.key) == 0 then
      job.orphan = true
      orphans = orphans + 1
    elseif job.id then
      coming[base .. job.id] = true
    end
  end
end
if orphans == jobs then
  local reply = {}
  for number = 1, jobs do
    local to = (number - 1) * 3
    reply[to + 1], reply[to + 2], reply[to + 3] = '', '', -5
  end
  return reply
end

if jobs > 1 then
  -- include here: check_adding
  for number = 1, jobs do
    check_adding(base, extras[number] or {})
  end
end
local settings = call('HMGET', meta, 'opts.maxLenEvents', 'paused', 'concurrency')
local max_len, waiting, blocked = settings[1], base .. 'wait', false
if max_len ~= '10000' then
  -- include here: max_events
  max_len = max_events(meta, max_len)
end
if settings[2] or settings[3] then
  -- include here: waiting_list
  -- include here: is_blocked
  waiting, blocked = waiting_list(base), is_blocked(base)
end
local counter = call('INCRBY', base .. 'id', jobs - orphans) - jobs + orphans
local ready, due = false, false
-- Plain ids go into wait together at the end: one command, and in the end the same list.
local plain = {}

-- One idle worker looks for work, unless the queue is blocked: once.
local function wake()
  if not blocked then
    call('ZADD', base .. 'marker', '0', '0')
    blocked = true
  end
end

local function push_plain()
  if plain[1] then
    call('LPUSH', waiting, unpack(plain))
    plain = {}
  end
end

-- Trimming once at the end of a batch trims as much as after each of its events.
local function add_plain(id, name, data, opts, trim)
  if jobs > 1 then
    call('XADD', events, '*', 'event', 'added', 'jobId', id, 'name', name)
    plain[#plain + 1] = id
  else
    -- Of one job nothing is checked beforehand, which would cost more; in this order an error leaves nothing behind.
    wake()
    call('LPUSH', waiting, id)
    if type(redis.pcall('XADD', events, '*', 'event', 'added', 'jobId', id, 'name', name)) == 'table' then
      call('LPOP', waiting)
      call('XLEN', events)
    end
  end
  call('HSET', base .. id, 'name', name, 'data', data, 'opts', opts, 'timestamp', now, 'delay', '0', 'priority',
    '0')
  ready = true
  if trim then
    return call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'waiting', 'jobId', id)
  end
  return call('XADD', events, '*', 'event', 'waiting', 'jobId', id)
end

-- Few rows have a job that says more than name, data and options: what those need is made when the first comes.
local add, mark_due
local function prepare()
-- include: mark_delayed
-- include: insert_job
  mark_due = mark_delayed

  local function last_event()
    local newest = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)
    return newest[1] and newest[1][1] or '0-0'
  end

  function add(job, name, data, opts, counted)
    job.name, job.data, job.opts = name, data, opts
    job.custom, job.id = job.id ~= nil, job.id or counted
    job.timestamp, job.delay, job.priority = job.timestamp or now_ms, job.delay or 0, job.priority or 0
    local id, event_id, outcome = insert_job(base, job, max_len, now_ms, false)
    ready, due = ready or job.ready, due or job.due
    return id, event_id or last_event(), outcome
  end
end

local reply = {}
for number = 1, jobs do
  local at = first_job + (number - 1) * fields
  local name, data, opts, job = ARGV[at], ARGV[at + 1], ARGV[at + 2], extras[number]
  local id, event_id, outcome = '', '', -5
  if not (job and job.orphan) then
    counter = counter + 1
    id = format(counter < 2147483648 and '%d' or '%.0f', counter) -- %d may mean 32 bits, and costs half
    if job then
      push_plain()
      if not add then
        prepare()
      end
      id, event_id, outcome = add(job, name, data, opts, id)
    else
      event_id, outcome = add_plain(id, name, data, opts, number == jobs), 0
    end
  end
  local to = (number - 1) * 3
  reply[to + 1], reply[to + 2], reply[to + 3] = id, event_id, outcome
end
push_plain()
if ready then
  wake()
end
if due then
  mark_due(base)
end
return reply
