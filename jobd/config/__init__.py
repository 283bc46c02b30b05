"""TOML text to one frozen configuration: places of every value, all problems at once, what would be shown."""
