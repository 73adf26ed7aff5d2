"""How faults are brought about where the modes have something in common.

`bodies` changes what a task does, `messages` what the broker does with one, `outages` what
happens while the broker or the result store cannot be reached.
"""
