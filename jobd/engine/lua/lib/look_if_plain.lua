-- look_if_plain(base, quick, ids_at, token, tokens_at, custom): whether so many quick finishes may share commands: their
-- locks are the tokens, their hashes are there, and none has children or, attached while it ran by an add of the same id,
-- a parent. Only the ids of custom ones can be added again: nobody adds one that Redis has counted.
-- ARGV has their ids behind ids_at, and when token (that of all) is nil their tokens behind tokens_at.
-- Returns the keys of the jobs, those of their locks, and that of the set stalled when there is one; nil when they may not.
local function look_if_plain(base, quick, ids_at, token, tokens_at, custom)
  local ARGS, call = ARGV, redis.call
  local stalled, found = base .. 'stalled', nil
  local jobs, locks = { nil, nil, nil, nil, nil, nil, nil, nil }, { nil, nil, nil, nil, nil, nil, nil, nil } -- room for a few
  local unwanted = { nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }
  for i = 1, quick do
    local job = base .. ARGS[ids_at + i]
    jobs[i], locks[i] = job, job .. ':lock'
    unwanted[2 * i - 1], unwanted[2 * i] = job .. ':dependencies', job .. ':unsuccessful'
  end
  local held = quick == 1 and { call('GET', locks[1]) } or call('MGET', unpack(locks, 1, quick))
  for i = 1, quick do
    if held[i] ~= (token or ARGS[tokens_at + i]) or custom and redis.pcall('HEXISTS', jobs[i], 'parentKey') == 1 then
      return nil
    end
  end
  if quick == 1 then -- EXISTS counts a key as often as it is named: the job more often than all that it must not have
    found = call('EXISTS', jobs[1], jobs[1], jobs[1], jobs[1], unwanted[1], unwanted[2], stalled) - 4
  else
    found = call('EXISTS', unpack(jobs, 1, quick)) - quick
    found = found == 0 and call('EXISTS', stalled, unpack(unwanted, 1, 2 * quick)) or found
  end
  if found == 0 then
    return jobs, locks, nil
  end
  if found == 1 and call('EXISTS', stalled) == 1 then
    return jobs, locks, stalled
  end
end
