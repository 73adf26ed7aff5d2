"""Every rule is documented, and its own examples prove it."""

from __future__ import annotations

import pytest
from celery import VERSION

from pytest_celeryflow.lint import lint
from pytest_celeryflow.lint._rule import SECTIONS
from pytest_celeryflow.lint.rules import RULES

from .examples import linted

rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)


@rules
def test_a_rule_says_all_that_its_page_needs(rule):
    """Summary and sections, in their order; the page is made of them."""
    assert rule.summary.endswith(".")
    assert tuple(rule.sections) == SECTIONS
    assert all(rule.sections.values())


@rules
def test_the_bad_example_is_found(rule, tmp_path):
    """By this rule, and by no other."""
    found = {finding.code for finding in lint(linted(rule.sections["Bad"], tmp_path))}
    is_fixed = rule.fixed_in is not None and VERSION[:2] >= rule.fixed_in
    assert found == (set() if is_fixed else {rule.code})


@rules
def test_the_good_example_is_clean(rule, tmp_path):
    """Nothing at all is found."""
    assert [str(each) for each in lint(linted(rule.sections["Good"], tmp_path))] == []


@rules
def test_the_kind_of_a_rule_is_in_its_code(rule):
    """CF1xx on canvases, CF2xx on apps."""
    assert rule.code.startswith("CF1" if rule.about == "canvas" else "CF2")
