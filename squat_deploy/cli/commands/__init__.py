"""A module a command: what it takes, what it runs, what it says."""
