"""The page of the reference workflows is generated from them.

After a change, write it anew and read the difference:

    python -m pytest_celeryflow.reference._page > docs/reference/workflows.md
"""

from __future__ import annotations

from pathlib import Path

import celery
import pytest

from pytest_celeryflow.reference._page import page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "workflows.md"


@pytest.mark.slow
@pytest.mark.skipif(celery.VERSION < (5, 7), reason="the page shows what Celery 5.7 does")
def test_the_committed_page_is_what_is_generated():
    pytest.importorskip("redis")
    assert PAGE.read_text(encoding="utf-8") == page()
