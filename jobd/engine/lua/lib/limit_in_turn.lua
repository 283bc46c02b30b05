-- include: limit_per_key
-- include: admit
-- include: leave_keys
-- include: save_holders
-- include: mark_delayed
-- limit_in_turn(base, most, path): a queue's limit per key (limit_per_key) with what a turn does by it: admit;
-- leave: what ended gives its place to the next job of its key; save: the book is written,
-- and how many jobs were set aside is returned.
-- leave's numbers say where turn.lua's ARGV has the ids of the quick finishes, how many these are, and where the others
-- and the keys begin; codes: nil when all are 0.
-- Events: those of admit and leave_keys
local function limit_in_turn(base, most, path)
  local limit = limit_per_key(base, most, path)
  limit.admit = admit

  function limit.leave(codes, quick_from, quick, others_from, other_size, keys_from)
    local ids, keys, first, size = {}, {}, {}, 0
    for i = 0, #ARGV - keys_from do
      local key, code, at = ARGV[keys_from + i], codes and codes[i + 1] or 0, quick_from + i
      if i >= quick then
        at = others_from + (i - quick) * other_size
      end
      if key ~= '' and (code == 0 or code == -1) then
        local outcome = i >= quick and ARGV[at + 2]
        -- A finish that put_back has put to the front, as finish_job has it.
        local to_front = outcome == 'b' or outcome == 'x' or (outcome == 'l' and ARGV[at + 5] == '0')
        size = size + 1
        ids[size], keys[size], first[size] = ARGV[at], key, code == 0 and to_front
      end
    end
    leave_keys(limit, ids, keys, first)
  end

  function limit.save()
    if limit.aside > 0 then
      mark_delayed(base)
    end
    save_holders(limit.holders)
    return limit.aside
  end

  return limit
end
