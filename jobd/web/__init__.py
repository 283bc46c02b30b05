"""The page: `jobd web`, a process of its own that shows and does what the table of operations has."""
