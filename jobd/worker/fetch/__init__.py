"""The talk with Redis: turns, what a lost reply leaves, the wait for work, the connections."""
