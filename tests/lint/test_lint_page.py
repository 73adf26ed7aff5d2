"""The reference page is generated from the rules.

After a change, write it anew and read the difference:

    python -m pytest_celeryflow.lint._page > docs/reference/lint.md
"""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import celery
import pytest

from pytest_celeryflow.lint._page import page
from pytest_celeryflow.lint.rules import RULES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "lint.md"


def test_the_committed_page_is_what_is_generated():
    assert PAGE.read_text(encoding="utf-8") == page()


def test_links_into_the_page_have_a_heading():
    text = page()
    anchors = {
        re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))
        for heading in re.findall(r"^## (.*)$", text, re.MULTILINE)
    }
    assert {rule.url.partition("#")[2] for rule in RULES} <= anchors


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_the_code_of_celery_that_a_rule_names_is_there(rule):
    """Files and the functions or classes in them; in one Celery version or the other."""
    missing = []
    for path, names in re.findall(r"`([\w/]+\.py):([\w.]+)`", rule.sections["Celery"]):
        root = Path(celery.__file__).parent
        file = root.parent / path if path.startswith(("kombu/", "billiard/")) else root / path
        if path == "kombu/transport/SQS.py" and not file.exists():
            continue
        source = file.read_text(encoding="utf-8")
        missing += [
            f"{path}:{names}"
            for name in names.split(".")
            if not re.search(rf"\b(def|class) {name}\b|^(    )?{name} = ", source, re.MULTILINE)
        ]
    assert missing == []


@pytest.mark.parametrize("module", ["_assert", "_lint"])
def test_the_example_in_a_docstring(module):
    failed, tried = doctest.testmod(importlib.import_module(f"pytest_celeryflow.lint.{module}"))
    assert tried
    assert not failed
