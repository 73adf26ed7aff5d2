"""Mode `process`: real workers in processes of their own, and how the test hears of them.

In the worker: `boot` runs first and installs the rest. `telling` tells what Celery signals,
`passing` what goes over the connection to the broker, `points` asks, at the moments where
something can go wrong, whether it shall. In the test: `worker` starts, stops and kills,
`hearing` takes down what is told, `answering` answers, `planned` knows what shall go wrong.
`pipe` and `values` are the language between the two, `gate` the way to the broker.

Celery's own events (``worker -E``) are not what the history is made of. They go through the
broker, which is away in the very tests that matter most, and are buffered in a process that
may be killed; and they carry texts of arguments, where a test compares values. What the
worker's code says by events it says by signals too, in the same places.
"""
