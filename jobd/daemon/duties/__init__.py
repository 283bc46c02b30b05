"""Recurring work of the daemon, one duty per file, each with start, stop and run_once."""
