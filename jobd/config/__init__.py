"""jobd.toml and the environment, read whole and checked whole into one frozen configuration."""
