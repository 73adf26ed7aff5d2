"""The command line's parts: what a target names, and what this machine can offer."""
