"""A Django app whose tasks use the database."""
