"""The processes of the daemon: pools of workers, templates, their starts, exits and restarts."""
