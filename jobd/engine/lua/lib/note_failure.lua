-- note_failure(job, reason, stacktrace): write down why an attempt of the job failed.
-- stacktrace "" leaves what is there.
local function note_failure(job, reason, stacktrace)
  if stacktrace == '' then
    redis.call('HSET', job, 'failedReason', reason)
  else
    redis.call('HSET', job, 'failedReason', reason, 'stacktrace', stacktrace)
  end
end
