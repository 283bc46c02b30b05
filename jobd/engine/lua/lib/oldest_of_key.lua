-- include: pull_out
-- oldest_of_key(base, key, ids, scores, at, priority): the job of a key that runs before the popped ids[at], out of where it
-- waited; ids[at] itself when that is the oldest. Whichever it is leaves the list of those set aside.
-- The second value: it is one of ids that were popped together, and has changed places with ids[at].
-- Events: those of pull_out
local function oldest_of_key(base, key, ids, scores, at, priority)
  local aside, id = base .. 'jobd-aside:' .. key, ids[at]
  local own = tonumber(redis.call('ZSCORE', aside, id) or priority * 4294967296 + 4294967295)
  while true do
    local first = redis.call('ZRANGE', aside, '0', '0', 'WITHSCORES')
    if not first[1] or first[1] == id or tonumber(first[2]) > own then
      redis.call('ZREM', aside, id)
      return id, false
    end
    redis.call('ZREM', aside, first[1])
    for i = at + 1, #ids do
      if ids[i] == first[1] then
        ids[i] = id
        if scores then
          scores[at], scores[i] = scores[i], scores[at]
        end
        return first[1], true
      end
    end
    if pull_out(base, first[1]) then
      return first[1], false
    end
  end
end
