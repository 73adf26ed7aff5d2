"""The parts of a real in-process worker that are ours: transport, pools, timer, waiting.

Celery's own fixture polls in all of these places: once a second for a message, twice two
seconds on shutdown (`kombu/transport/virtual/base.py`, `celery/worker/loops.py`). Here
everything that waits is woken.
"""
