-- include: delete_job
-- include when used: leave_parent
-- drop_finished(base, set, id): a job that is trimmed from a finished set is gone. A completed child has left its
-- parent already; one that failed still holds it back.
local function drop_finished(base, set, id)
  if set == base .. 'failed' then
    local parent_key = redis.pcall('HGET', base .. id, 'parentKey')
    if type(parent_key) == 'string' then
      pcall(leave_parent, base .. id, parent_key)
    end
  end
  delete_job(base, id)
end
