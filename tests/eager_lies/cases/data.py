"""What travels from task to task."""

from celery import Celery, chain, group

from tests.eager_lies.lie import lie


@lie(
    title="A tuple stays a tuple",
    eager="What one step returns is handed to the next as the same object.",
    worker="It is a list: JSON has no tuples.",
    why="`celery/canvas.py:_chain.apply` passes `last.get()` on; nothing is encoded",
    differs=("value", "arguments of kind"),
)
def tuples(app: Celery):
    @app.task
    def pair():
        return (1, 2)

    @app.task
    def kind(value):
        return type(value).__name__

    return chain(pair.s(), kind.s())


@lie(
    title="Keys of a dict stay numbers",
    eager="`prices[7]` finds what is stored under the number 7.",
    worker="Keys have become text, and `prices[7]` is a `KeyError`.",
    why="`kombu/utils/json.py:dumps` writes JSON, whose keys are text",
    differs=("value", "state", "exception"),
)
def keys(app: Celery):
    @app.task
    def load_prices():
        return {7: 9.5}

    @app.task
    def price_of_seven(prices):
        return prices[7]

    return chain(load_prices.s(), price_of_seven.s())


@lie(
    title="A result can be anything",
    eager="""A model instance, an open file: the next step is given it. (Celery's default is shown.
    With `task_store_eager_result`, which mode `eager` sets, the result is encoded too, and refused.)""",
    worker="The result store refuses it. The task has run, and it has failed.",
    why="`celery/backends/base.py:Backend.encode` is called for what is stored alone",
    differs=("value", "exception", "executions of count"),
    eager_options={"config": {"task_store_eager_result": False}},
)
def objects(app: Celery):
    class Basket:
        items = ("apple", "pear")

    @app.task
    def fill():
        return Basket()

    @app.task
    def count(basket):
        return len(basket.items)

    return chain(fill.s(), count.s())


@lie(
    title="Arguments within a chain can be anything",
    eager="Only the arguments of a single call go through the serializer.",
    worker="The whole chain is in the first message, and publishing it raises.",
    why="`celery/app/task.py:Task.apply_async` encodes, `celery/canvas.py:_chain.apply` does not",
    differs=("state", "raised", "executions of first"),
)
def arguments(app: Celery):
    @app.task
    def first():
        return 1

    @app.task
    def second(logger):
        return 2

    return chain(first.s(), second.si(object()))


@lie(
    title="Members of a group share what they are given",
    eager="Both are given one and the same list, and the second sees what the first did to it.",
    worker="Each has its own copy, from its own message.",
    why="`celery/canvas.py:group.apply` passes the same arguments to each member",
    differs=("value",),
)
def shared(app: Celery):
    @app.task
    def basket():
        return ["a"]

    @app.task
    def add(basket, item):
        basket.append(item)
        return list(basket)

    return chain(basket.s(), group(add.s("b"), add.s("c")))


@lie(
    title="A result changes after it was returned",
    eager="The result is the very object that the task keeps, and changes later.",
    worker="What was returned was written down at that moment.",
    why="`celery/result.py:EagerResult` holds the object itself",
    differs=("value",),
    options={"concurrency": 1},
)
def kept(app: Celery):
    seen = []

    @app.task
    def visit(page):
        seen.append(page)
        return seen

    return group(visit.s("a"), visit.s("b"))


@lie(
    title="A serializer that workers refuse",
    eager="The call is encoded and decoded in place; `accept_content` is not asked.",
    worker="The message is refused and thrown away, and the result never comes.",
    why="`celery/worker/consumer/consumer.py:Consumer.on_decode_error` is a worker's",
    differs=("value", "raised", "executions of total"),
)
def pickled(app: Celery):
    app.conf.accept_content = ["json"]

    @app.task(serializer="pickle")
    def total(numbers):
        return sum(numbers)

    return total.s({1, 2})


@lie(
    title="`chunks` are given a signature",
    eager="The task that maps is given the signature object, and tuples.",
    worker="It is given a dict, and lists: its message went through JSON.",
    why="`celery/canvas.py:chunks.group` makes members that are applied without a message",
    differs=("arguments of starmap",),
)
def chunks(app: Celery):
    @app.task
    def add(x, y):
        return x + y

    return add.chunks([(1, 2), (3, 4)], 1).group()
