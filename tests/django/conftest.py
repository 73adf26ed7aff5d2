"""The project below is tested by a pytest of its own: here Django has no settings."""

collect_ignore = ["project"]
