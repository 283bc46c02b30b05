-- include: delete_job
-- include: leave_parent
-- drop_finished(base, set, id): a job that is trimmed from a finished set is gone. A completed child has left its
-- parent already; one that failed still holds it back.
local function drop_finished(base, set, id)
  if set == base .. 'failed' then
    local parent = redis.pcall('HMGET', base .. id, 'parentKey', 'parent')
    if parent[1] then
      leave_parent(base .. id, parent[1], parent[2])
    end
  end
  delete_job(base, id)
end
