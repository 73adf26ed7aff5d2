"""The reference workflows: what Celery can do, as small examples that state what comes of them.

    pytest --pyargs pytest_celeryflow.reference
    pytest --pyargs pytest_celeryflow.reference --celeryflow-modes eager,worker,sim
    pytest --pyargs pytest_celeryflow.reference --celeryflow-redis-url redis://localhost:6379/0

The first runs each workflow in each mode that can show it. The last runs them on a broker and
a result backend of the user's, and ends with a table: what works there, what does not, and why.

Each module of `workflows` holds tasks, a function that makes the canvas, and a declaration
(`declaration.Workflow`) of the result, the shape, the executions and what each mode does
otherwise. Nothing else in the toolkit imports this package.
"""
