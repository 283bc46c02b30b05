"""The private Redis of `embedded = true`."""
