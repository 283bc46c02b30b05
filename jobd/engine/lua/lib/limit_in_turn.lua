-- include: limit_per_key
-- include: look_up_keys
-- include: admit
-- include: leave_keys
-- include: save_holders
-- include: mark_delayed
-- limit_in_turn(base, most, path): a queue's limit per key (limit_per_key) with what a turn does by it: look_up
-- (look_up_keys) and admit; leave: what ended gives its place to the next job of its key; save: the book is written.
-- leave's numbers say where turn.lua's ARGV has the finishes and their keys.
-- Events: those of admit and leave_keys
local function limit_in_turn(base, most, path)
  local limit = limit_per_key(base, most, path)
  limit.look_up, limit.admit = look_up_keys, admit

  function limit.leave(codes, quick_from, quick_size, others_from, other_size, keys_from)
    local ids, keys, first, size = {}, {}, {}, 0
    local quick = (others_from - quick_from) / quick_size
    for i, code in ipairs(codes) do
      local key, at = ARGV[keys_from + i - 1], quick_from + (i - 1) * quick_size
      if i > quick then
        at = others_from + (i - quick - 1) * other_size
      end
      if key ~= '' and (code == 0 or code == -1) then
        local outcome = i > quick and ARGV[at + 2]
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
  end

  return limit
end
