-- delete_job(base, id): the job's hash and its five sub keys are gone; returns how many of them there were. Its lock and
-- its place in a set are the user's.
local function delete_job(base, id)
  local job = base .. id
  return redis.call('DEL', job, job .. ':logs', job .. ':dependencies', job .. ':processed', job .. ':failed',
    job .. ':unsuccessful')
end
