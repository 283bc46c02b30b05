-- include: check_places
-- include: finish_job
-- finish_each(base, now_ms, max_len, codes, quick, from, to, size): finishes of a turn one by one (finish_job).
-- quick: {how many}, which were finished together with these codes (nil: all 0), or {how many, the places in ARGV before
-- their ids, values and tokens, token (that of all, or nil), keep}, which were not. The others are in ARGV from from to to,
-- size words each. Returns the codes of all, and whether one is completed or failed for good.
-- Events: those of finish_job
local function finish_each(base, now_ms, max_len, codes, quick, from, to, size)
  local ARGS, count, ended, code, over = ARGV, quick[1], false, nil, nil
  check_places(base)
  codes = codes or {}
  for i = 1, count do
    if quick[2] then
      local keep_count, age_s, limit = unpack(quick[6] or {})
      code, over = finish_job(base, now_ms, max_len, ARGS[quick[2] + i], quick[5] or ARGS[quick[4] + i], 'c',
        ARGS[quick[3] + i], '', '0', keep_count, age_s, limit, '0', '0', '')
      codes[i], ended = code, ended or over
    else
      codes[i] = codes[i] or 0
    end
  end
  for i = from, to, size do
    code, over = finish_job(base, now_ms, max_len, unpack(ARGS, i, i + size - 1))
    codes[#codes + 1], ended = code, ended or over
  end
  return codes, ended
end
