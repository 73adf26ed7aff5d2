"""Test files that pytest is given by name; it does not collect them by itself."""
