-- still_waits(base, id): whether a job that was set aside may still be waiting: it is there, nobody runs it, it is not over.
local function still_waits(base, id)
  local stored = redis.pcall('HMGET', base .. id, 'name', 'finishedOn')
  return stored[1] and not stored[2] and redis.call('EXISTS', base .. id .. ':lock') == 0
end
