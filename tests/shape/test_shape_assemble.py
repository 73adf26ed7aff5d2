"""A shape put together from messages, as a history would have them."""

from __future__ import annotations

from pytest_celeryflow.shape import Shape
from pytest_celeryflow.shape._assemble import Sent, assemble


def sent(name: str, **how: object) -> Sent:
    return Sent(id=name, shape=Shape(kind="task", name=name), **how)  # type: ignore[arg-type]


def test_a_chain() -> None:
    flow = assemble([sent("a"), sent("b", after="a"), sent("c", after="b")])
    assert str(flow) == "a() | b() | c()"


def test_a_group_in_the_order_of_its_messages() -> None:
    assert str(assemble([sent("b", group="g"), sent("a", group="g")])) == "group(b(), a())"


def test_a_chord_with_a_body_and_what_follows() -> None:
    flow = assemble(
        [
            sent("a"),
            sent("b", after="a", group="g", counts=True),
            sent("c", after="a", group="g", counts=True),
            sent("d", body_of="g"),
            sent("e", after="d"),
        ]
    )
    assert str(flow) == "a() | chord([b(), c()], d()) | e()"


def test_a_chord_whose_body_was_never_sent() -> None:
    flow = assemble([sent("a", group="g", counts=True), sent("b", group="g", counts=True)])
    assert str(flow) == "chord([a(), b()])"


def test_a_task_that_replaced_itself_by_a_chain_is_followed_by_it() -> None:
    flow = assemble([sent("a"), sent("b", after="a"), sent("c", after="b"), sent("d", after="c")])
    assert flow.depth == 4


def test_no_messages_at_all() -> None:
    assert str(assemble([])) == "group()"


def test_a_chain_of_a_thousand_messages() -> None:
    messages = [sent("t0"), *[sent(f"t{n}", after=f"t{n - 1}") for n in range(1, 1000)]]
    assert assemble(messages).depth == 1000
