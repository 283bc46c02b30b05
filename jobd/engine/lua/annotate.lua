-- annotate: write progress, log lines and new data of running jobs.
-- Promise:    notes are written in order; those of a job without a hash leave nothing behind. A running job may write
--             them also while Redis is full.
-- KEYS:       1 meta (hash)   2 events (stream)   From base also per job: its hash and logs.
-- ARGV:       1 base (prefix of the queue, ends in a colon)   then 4 per note: kind (progress, log, data), job id,
--             payload (JSON, or the log line's text), keep_logs (how many of the newest lines stay; "" or 0 all)
-- Returns:    per note 0, or -1: no such job (codes.py)
-- Events:     progress
-- Complexity: O(notes)

-- include: max_events

local META, EVENTS, base = KEYS[1], KEYS[2], ARGV[1]
local NOTES, FROM, SIZE = ARGV, 2, 4
local max_len = max_events(META)
local codes = {}

local function write(kind, job, id, payload, keep)
  if kind == 'progress' then
    redis.call('HSET', job, 'progress', payload)
    redis.call('XADD', EVENTS, 'MAXLEN', '~', max_len, '*', 'event', 'progress', 'jobId', id, 'data', payload)
  elseif kind == 'data' then
    redis.call('HSET', job, 'data', payload)
  else
    redis.call('RPUSH', job .. ':logs', payload)
    if keep and keep > 0 then
      redis.call('LTRIM', job .. ':logs', -keep, -1)
    end
  end
end

-- Changes nothing, and is a write that Redis allows when it is full: then it lets the script write on to its end.
redis.call('PERSIST', META)
for at = FROM, #NOTES, SIZE do
  local id = NOTES[at + 1]
  local job = base .. id
  if redis.call('EXISTS', job) == 1 then
    write(NOTES[at], job, id, NOTES[at + 2], tonumber(NOTES[at + 3]))
    codes[#codes + 1] = 0
  else
    codes[#codes + 1] = -1
  end
end
return codes
