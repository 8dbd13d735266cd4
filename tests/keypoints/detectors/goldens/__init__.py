"""What the peers whose networks are run here find themselves; made by `make`."""
