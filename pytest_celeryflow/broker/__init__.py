"""The in-memory broker that `sim` and `worker` mode share.

`semantics` says how a broker orders and gives back messages, `queues` holds them as plain
data, `channel` is the kombu channel over them. How a consumer waits for a message is the
one thing that differs: the simulation parks a greenlet (`sim/transport.py`), the in-process
worker a thread (`live/transport.py`).
"""
