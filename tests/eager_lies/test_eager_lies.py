"""Each difference is one, and the page tells what it is."""

import re

import celery
import pytest

from tests.eager_lies.cases import SECTIONS
from tests.eager_lies.page import NEWEST, PAGE, tables, written

CASES = [case for section in SECTIONS.values() for case in section]

pytestmark = [
    # 5.7 announces a change of what an errback on a chord means.
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:task_always_eager has no effect on send_task"),
    pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def shown():
    """Name of a case -> the table on the page."""
    return tables(PAGE.read_text(encoding="utf-8"))


def _rows(table):
    """What -> its cells."""
    rows = [re.split(r"\s{2,}", line) for line in table.splitlines()[2:]]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_differs(case, shown):
    """As the page says: all of it in the newest Celery, what is the point of it in every other."""
    if case.needs_redis:
        pytest.importorskip("redis")
    found = case.compared()
    assert {d.what for d in found.differences} >= set(case.differs)
    if celery.VERSION[:2] == NEWEST:
        assert str(found) == shown[case.name]
        return
    here, there = _rows(str(found)), _rows(shown[case.name])
    constant = set(case.differs) - set(case.varies)
    assert {what: here[what] for what in constant} == {what: there[what] for what in constant}


def test_the_page_is_made_of_the_cases(shown):
    """Its words and its code; its tables are those above."""
    assert PAGE.read_text(encoding="utf-8") == written(lambda case: shown[case.name])


def test_there_are_as_many_as_promised():
    """Each with a name of its own."""
    assert len({case.name for case in CASES}) == len(CASES) >= 25
