"""In-process result stores, and Celery's own backend classes over them.

`values` is the store, `memory` the plain key-value backends, `redis` Celery's Redis backend
with its client replaced, `lua` what runs that backend's scripts. `sim` and `worker` mode
share them; each brings its own way of waiting.
"""
