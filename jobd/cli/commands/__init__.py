"""One file for each command: parse, one operation, print, exit code."""
