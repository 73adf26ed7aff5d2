"""Canvases that Hypothesis makes of the list's tasks, each of which succeeds or fails in its way.

Every task takes whatever it is given and says so, so that a canvas may be put together in any
way. Known defects of Celery that no two runs show alike are left out, each with a word why.
"""

from __future__ import annotations

from typing import Any

from celery import chain, chord, group
from hypothesis import strategies as st

from . import tasks as t

__all__ = ["canvases", "rendered"]

#: A recipe: what JSON can hold, so that a canvas can be made of it again and again.
Recipe = tuple[Any, ...]

_leaves = st.tuples(st.just("task"), st.integers(0, 9)) | st.sampled_from(
    [("retries", 1), ("late", 2), ("replaced", 3), ("fails",), ("publishes", 4)]
)


def _composed(inner: st.SearchStrategy[Recipe]) -> st.SearchStrategy[Recipe]:
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return (
        st.tuples(st.just("chain"), st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.tuples(st.just("group"), several)
        | st.tuples(st.just("chord"), several, inner)
        | st.tuples(st.just("link"), _leaves)
        | st.tuples(st.just("errback"), _leaves)
    )


#: Recipes of canvases.
canvases: st.SearchStrategy[Recipe] = st.recursive(_leaves, _composed, max_leaves=7)


def rendered(recipe: Recipe) -> Any:
    """The canvas of a recipe."""
    kind, *parts = recipe
    if kind == "chain":
        return chain(*map(rendered, parts[0]))
    if kind == "group":
        return group(list(map(rendered, parts[0])))
    if kind == "chord":
        return chord(list(map(rendered, parts[0])), rendered(parts[1]))
    if kind == "link":
        canvas = rendered(parts[0])
        canvas.link(t.note.si())
        return canvas
    if kind == "errback":
        canvas = rendered(parts[0])
        canvas.link_error(t.on_error_in_place.si())
        return canvas
    return {
        "task": t.collect.s,
        "retries": t.retries_once.s,
        "late": t.late_collect.s,
        "replaced": t.replaced_by_collect.s,
        "publishes": t.publishes.s,
        "fails": t.fail.s,
    }[kind](*parts)
