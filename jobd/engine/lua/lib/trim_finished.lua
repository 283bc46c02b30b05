-- include: drop_finished
-- trim_finished(base, set, now_ms, count, age_s, limit): a finished set keeps what a removeOn* rule says.
-- set is the key of completed or failed; count, age_s, limit are numbers or nil. First those older than age_s go,
-- newest first, at most limit (default and ceiling 1000); then all but the count newest (count > 0), oldest first, at
-- most 1000 a call: a large backlog shrinks over many turns instead of blocking Redis in one.
local function trim_finished(base, set, now_ms, count, age_s, limit)
  if age_s then
    local bound = string.format('%.0f', now_ms - age_s * 1000)
    local batch = math.min(limit or 1000, 1000)
    local expired = redis.call('ZREVRANGEBYSCORE', set, bound, '-inf', 'LIMIT', '0', batch)
    for _, id in ipairs(expired) do
      drop_finished(base, set, id)
    end
    if #expired > 0 then
      redis.call('ZREM', set, unpack(expired))
    end
  end
  if count and count > 0 then
    local excess = math.min(redis.call('ZCARD', set) - count, 1000)
    if excess > 0 then
      for _, id in ipairs(redis.call('ZRANGE', set, '0', excess - 1)) do
        drop_finished(base, set, id)
      end
      redis.call('ZREMRANGEBYRANK', set, '0', excess - 1)
    end
  end
end
