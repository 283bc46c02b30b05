-- plain_completions(base, ids, tokens): whether completions of all these jobs may share commands: their locks are the
-- tokens, their hashes are there, none has children or, attached while it ran by an add of the same id, a parent.
-- Returns the keys of the jobs and of their locks; nil when one of them is not plain.
local function plain_completions(base, ids, tokens)
  local jobs, locks, children = {}, {}, {}
  for i = 1, #ids do
    local job = base .. ids[i]
    jobs[i] = job
    locks[i] = job .. ':lock'
    children[2 * i - 1] = job .. ':dependencies'
    children[2 * i] = job .. ':unsuccessful'
  end
  local held = redis.call('MGET', unpack(locks))
  for i = 1, #ids do
    if held[i] ~= tokens[i] or redis.pcall('HEXISTS', jobs[i], 'parentKey') == 1 then
      return nil
    end
  end
  if redis.call('EXISTS', unpack(jobs)) == #ids and redis.call('EXISTS', unpack(children)) == 0 then
    return jobs, locks
  end
end
