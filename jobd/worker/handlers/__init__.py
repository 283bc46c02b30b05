"""The user's functions: found, bound to a job's data, wrapped, chosen by name."""
