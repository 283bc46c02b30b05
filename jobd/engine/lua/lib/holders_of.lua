-- holders_of(base): what is known of the keys of a queue's limit per key; an empty book at first.
-- Kept in the hash jobd-keys, by key: "a" when jobs are set aside for it in the sorted set jobd-aside:<key> (oldest
-- first) and "n" when none are, then the ids of the jobs that run with it, a line break around each. They may be too
-- many, with those of jobs that a Node worker recovered or somebody removed: room_of looks before it says that there is
-- no room.
-- In the book: texts {key: that text, false for none}, changed {key: true}, checked {key: true}, and of jobs that this
-- script starts started {id: true}.
local function holders_of(base)
  return { base = base, hash = base .. 'jobd-keys', texts = {}, changed = {}, checked = {},
    started = {} }
end
