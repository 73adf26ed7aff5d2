"""What is measured, one family of figures a file, one figure a function."""
