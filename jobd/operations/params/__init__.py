"""The parameters of operations: strict, and told apart by name when they are wrong."""
