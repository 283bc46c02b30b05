"""jobd beside BullMQ's Node worker: the same jobs, the same Redis, the same run."""
