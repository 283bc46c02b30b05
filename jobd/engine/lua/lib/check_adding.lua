-- include: waiting_list
-- check_adding(base, job): an error, before anything of a job is written, when a key that its add needs is of a wrong
-- type: Redis takes nothing back that a script did before its error. Each key is looked at once a script.
-- job: as insert_job's, also before its defaults are set.
local checked_keys = {}
local function check_adding(base, job)
  local set = job.children and 'waiting-children' or (job.delay or 0) > 0 and 'delayed'
    or (job.priority or 0) > 0 and 'prioritized'
  local place = set and base .. set or waiting_list(base)
  if not checked_keys[place] then
    checked_keys[place] = true
    redis.call(set and 'ZCARD' or 'LLEN', place)
    redis.call('ZCARD', base .. 'marker')
    redis.call('XLEN', base .. 'events')
  end
  local parent_key = job.parent and job.parent.key
  if parent_key and not checked_keys[parent_key] then
    checked_keys[parent_key] = true
    redis.call('SCARD', parent_key .. ':dependencies')
  end
end
