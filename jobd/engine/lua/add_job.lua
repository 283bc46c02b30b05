-- add_job: add one job or several hundred, in order.
-- Promise:    each job lies in Redis as BullMQ's own add would have put it, its events too; or, where its id or its
--             deduplication id is taken, the owner of that is told and only what BullMQ changes then has changed.
-- KEYS:       1 meta (hash)   made here from the base: id, wait, paused, active, prioritized, pc, delayed, marker, events,
--             de:<id>, dn:<id>, the hashes of the jobs
-- ARGV:       1 base (key prefix of the queue, ends in a colon)   2 now_ms (the jobs' timestamp, integer)
--             then four per job: name, data (JSON), opts (JSON), extra ('' or a JSON object with any of timestamp, id,
--             delay (ms), priority, lifo, de; absent members are BullMQ's defaults)
-- Returns:    three per job: id, stream id of the add's last event, 0 added | 1 its id existed | 2 deduplicated
-- Events:     added, then waiting | delayed; or duplicated; or deduplicated (replace: removed, deduplicated, added, …)
-- Complexity: O(1) a job; O(log n) delayed or prioritized; O(active) with keepLastIfActive

-- include: max_events
-- include: wake
-- include: waiting_list
-- include: place_waiting
-- include: place_prioritized
-- include: place_delayed
-- include: mark_delayed
-- include: claim_deduplication

local meta, base, now = KEYS[1], ARGV[1], ARGV[2]
local first_job, fields = 3, 4

local events = base .. 'events'
local max_len = max_events(meta)
local jobs = (#ARGV - first_job + 1) / fields
local counter = redis.call('INCRBY', base .. 'id', jobs) - jobs
local ready, due = false, false
-- Plain ids go into wait together at the end: one command, and in the end the same list.
local plain = {}

local function push_plain()
  if plain[1] then
    redis.call('LPUSH', waiting_list(base), unpack(plain))
    plain = {}
  end
end

local function last_event()
  local newest = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)
  return newest[1] and newest[1][1] or '0-0'
end

-- Trimming once at the end of a batch trims as much as after each of its events.
local function add_plain(id, name, data, opts, trim)
  redis.call('HSET', base .. id, 'name', name, 'data', data, 'opts', opts, 'timestamp', now, 'delay', '0', 'priority',
    '0')
  redis.call('XADD', events, '*', 'event', 'added', 'jobId', id, 'name', name)
  plain[#plain + 1] = id
  ready = true
  if trim then
    return redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'waiting', 'jobId', id)
  end
  return redis.call('XADD', events, '*', 'event', 'waiting', 'jobId', id)
end

local function place(job)
  if job.delay > 0 then
    local due_ms = job.timestamp + job.delay
    place_delayed(base, job.id, due_ms)
    due = true
    return redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'delayed', 'jobId', job.id, 'delay',
      string.format('%.0f', due_ms))
  end
  if job.priority > 0 then
    place_prioritized(base, job.id, job.priority, false)
  else
    place_waiting(base, job.id, job.lifo)
  end
  ready = true
  return redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'waiting', 'jobId', job.id)
end

-- Returns the id, the stream id and the outcome of one add.
local function add(job)
  local key = base .. job.id
  if job.custom and redis.call('EXISTS', key) == 1 then
    local event_id = redis.call('XADD', events, 'MAXLEN', '~', max_len, '*', 'event', 'duplicated', 'jobId', job.id)
    return job.id, event_id, 1
  end
  if job.de then
    local owner, event_id = claim_deduplication(base, job, max_len)
    if owner then
      return owner, event_id or last_event(), 2
    end
  end
  redis.call('HSET', key, 'name', job.name, 'data', job.data, 'opts', job.opts, 'timestamp',
    string.format('%.0f', job.timestamp), 'delay', string.format('%.0f', job.delay), 'priority',
    string.format('%.0f', job.priority))
  if job.de then
    redis.call('HSET', key, 'deid', job.de.id)
  end
  redis.call('XADD', events, '*', 'event', 'added', 'jobId', job.id, 'name', job.name)
  return job.id, place(job), 0
end

local reply = {}
for number = 1, jobs do
  local at = first_job + (number - 1) * fields
  local name, data, opts, extra = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local id = string.format('%.0f', counter + number)
  local event_id, outcome
  if extra == '' then
    event_id, outcome = add_plain(id, name, data, opts, number == jobs), 0
  else
    push_plain()
    local job = cjson.decode(extra)
    job.name, job.data, job.opts = name, data, opts
    job.custom, job.id = job.id ~= nil, job.id or id
    job.timestamp, job.delay, job.priority = job.timestamp or tonumber(now), job.delay or 0, job.priority or 0
    id, event_id, outcome = add(job)
  end
  local to = (number - 1) * 3
  reply[to + 1], reply[to + 2], reply[to + 3] = id, event_id, outcome
end
push_plain()
if ready then
  wake(base)
end
if due then
  mark_delayed(base)
end
return reply
