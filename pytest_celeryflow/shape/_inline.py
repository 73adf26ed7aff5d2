"""Drawings of shapes within an HTML page that holds several.

`Shape.svg` is a whole image: its style sheet would be that of the whole page, and each image
would bring it again. Here the style sheet, to be nested under a selector of the page's own, and
the arrow heads are given apart from the drawings.

Relies on no Celery symbol.
"""

from __future__ import annotations

from pytest_celeryflow.shape._model import Shape
from pytest_celeryflow.shape._svg import STYLE, heads, svg

__all__ = ["STYLE", "drawing", "heads"]


def drawing(shape: Shape) -> str:
    """The image without what the page has once."""
    return svg(shape, alone=False)
