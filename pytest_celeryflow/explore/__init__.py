"""Finds the schedule that breaks a test: oracles, the explorer, shrinking, replay."""
