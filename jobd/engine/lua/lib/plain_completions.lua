-- plain_completions(base, ids, tokens, limiter): whether completions of all these jobs may share commands: their locks
-- are the tokens, their hashes are there, none has children or, attached while it ran by an add of the same id, a parent.
-- Returns the keys of the jobs, nil when one of them is not plain; the keys of their locks; what lies at the key limiter,
-- which is read along.
local function plain_completions(base, ids, tokens, limiter)
  local jobs, locks, children = {}, {}, {}
  for i = 1, #ids do
    local job = base .. ids[i]
    jobs[i] = job
    locks[i] = job .. ':lock'
    children[2 * i - 1] = job .. ':dependencies'
    children[2 * i] = job .. ':unsuccessful'
  end
  local held = redis.call('MGET', limiter, unpack(locks))
  for i = 1, #ids do
    if held[i + 1] ~= tokens[i] or redis.pcall('HEXISTS', jobs[i], 'parentKey') == 1 then
      return nil, locks, held[1]
    end
  end
  local plain
  if #ids == 1 then -- EXISTS counts a key as often as it is named: all three, which two of others cannot make up
    plain = redis.call('EXISTS', jobs[1], jobs[1], jobs[1], children[1], children[2]) == 3
  else
    plain = redis.call('EXISTS', unpack(jobs)) == #ids and redis.call('EXISTS', unpack(children)) == 0
  end
  return plain and jobs or nil, locks, held[1]
end
