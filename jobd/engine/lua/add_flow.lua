-- add_flow: add a tree of jobs over any queues, all or nothing seen by others.
-- Promise:    each job lies in Redis as BullMQ's FlowProducer would have put it; parents wait for their children, and
--             one whose children were all there and completed before waits to run. A child that has another parent
--             stays with it, and its new parent waits on.
-- KEYS:       1 meta (hash) of the root's queue, then that of each other queue   made here from the bases: what add_job
--             makes, waiting-children, and per parent its dependencies and processed
-- ARGV:       1 now_ms (integer)   then five per job, a parent before its children: base (key prefix of its queue, ends
--             in a colon), name, data (JSON), opts (JSON), extra (a JSON object as add_job's, with id always, and
--             children where it has some)
-- Returns:    two per job: stream id of the add's last event ('' none), 0 added | 1 its id existed | -5 no such parent |
--             -7 it has another parent (codes.py)
-- Events:     as add_job's and release_parent's, in each job's queue
-- Complexity: O(jobs)

-- include: check_adding
-- include: max_events
-- include: wake
-- include: mark_delayed
-- include: insert_job
-- include: release_parent

local now_ms, first_job, fields = tonumber(ARGV[1]), 2, 5
local jobs = (#ARGV - first_job + 1) / fields
local reply, parents, refused, decoded = {}, {}, {}, {}

for number = 1, jobs do
  local at = first_job + (number - 1) * fields
  decoded[number] = cjson.decode(ARGV[at + 4])
  check_adding(ARGV[at], decoded[number])
end

for number = 1, jobs do
  local at = first_job + (number - 1) * fields
  local base, job = ARGV[at], decoded[number]
  local parent = job.parent
  local event_id, outcome = '', -5
  if not parent or redis.call('EXISTS', parent.key) == 1 then
    job.name, job.data, job.opts, job.custom = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], true
    job.timestamp, job.delay, job.priority = job.timestamp or now_ms, job.delay or 0, job.priority or 0
    redis.call('INCR', base .. 'id')
    local inserted = { insert_job(base, job, max_events(base .. 'meta'), now_ms, true) }
    event_id, outcome = inserted[2], inserted[3]
    if job.ready then
      wake(base)
    elseif job.due then
      mark_delayed(base)
    end
  end
  if parent then
    if not refused[parent.key] then
      parents[#parents + 1] = parent
      refused[parent.key] = 'no'
    end
    if outcome == -7 then
      refused[parent.key] = 'yes'
    end
  end
  reply[#reply + 1] = event_id or ''
  reply[#reply + 1] = outcome
end

for _, parent in ipairs(parents) do
  if refused[parent.key] == 'no' and redis.call('SCARD', parent.key .. ':dependencies') == 0 then
    local base, id = parent_place(parent.key, parent.text)
    release_parent(base, id, now_ms)
  end
end
return reply
