"""The parent: starts, watches and stops processes; never runs user code."""
