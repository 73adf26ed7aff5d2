"""The simulated world: Celery's own worker on one thread and a virtual clock.

`world` is the step loop, `worker` builds Celery's worker into it, `pool` and `timer` are the
two parts of a worker that are ours, `transport` lets it wait for messages, `store` and
`redis` keep results. What messages, requests, retries and chords do is Celery's own code.
"""
