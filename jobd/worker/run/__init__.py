"""The handler's run: slots, attempts, executors, and how an attempt ended."""
