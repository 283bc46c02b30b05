"""What operations return, as JSON has it: one type from where a document is made to where it is printed.

Durations in seconds end in `_s`, in milliseconds in `_ms`; moments are milliseconds since 1970 and end in `_at` (the
job's own `timestamp`, which is BullMQ's word, too). What could not be read from Redis is null, never 0.
"""
