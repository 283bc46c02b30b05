"""The queue as it lies in Redis, in BullMQ's layout: shared by client, worker and daemon."""
