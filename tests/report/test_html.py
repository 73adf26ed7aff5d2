"""The HTML report: what a page is made of, and how it comes about in a session."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from celery import chord

from pytest_celeryflow import run_eager, simulate
from pytest_celeryflow.report.html import Story, facts, flow_story, page

#: Elements that end by themselves.
VOID = {"meta", "input", "br", "link", "img"}


class Page(HTMLParser):
    """A page as what it shows: every element is closed, in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.said, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.said.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.said))

    def classes(self, tag, name):
        return [a for t, a in self.tags if t == tag and name in (a.get("class") or "").split()]


@pytest.fixture
def story(app, add):
    """What a chord with a retry did, in HTML."""

    @app.task(name="shop.total", bind=True, max_retries=1)
    def total(self, numbers):
        if not self.request.retries:
            raise self.retry(exc=ConnectionError("<bank>"), countdown=3600)
        return sum(numbers)

    with simulate(app, workers=2) as flow:
        run = flow.run(chord([add.s(1, 1), add.s("<b>", "&")], total.s()))
        return flow_story("sim", flow.history, [run])


def test_a_flow_is_its_workflows_a_drawing_and_words(story):
    """All three, and nothing of the app's is taken for HTML."""
    seen = Page(story)
    assert len(seen.classes("div", "shape")) == 1
    assert len(seen.classes("g", "bar")) == 4
    assert len(seen.classes("g", "again")) == 1
    assert [a["class"] for a in seen.classes("tr", "retried")] == ["retried"]
    assert "to be retried in 1h: ConnectionError: <bank>" in seen.text
    assert "<bank>" not in story
    assert "'<b>'" in seen.text
    assert "4 executions, 1 retry, 1h" in seen.text


def test_eager_has_no_shape_and_a_lane_of_its_own(app, add):
    """Nothing was published, and no worker was there."""
    with run_eager(app) as flow:
        run = flow.run(add.s(1, 2))
        seen = Page(flow_story("eager", flow.history, [run]))
    assert not seen.classes("div", "shape")
    assert "test" in seen.text
    assert len(seen.classes("g", "bar")) == 1


def test_a_flow_in_which_nothing_happened(app):
    """It says so."""
    with simulate(app) as flow:
        assert "Nothing happened in it." in Page(flow_story("sim", flow.history, [])).text


def test_facts_in_short(app, add):
    """Singular and plural."""
    with simulate(app) as flow:
        flow.faults.fail(add, ValueError("x"))
        flow.run(add.s(1, 2))
        assert facts([flow.history]) == "1 execution, 1 fault, 0s"
        flow.run(add.s(1, 2))
        assert facts([flow.history, flow.history]) == "4 executions, 2 faults, 0s"


def test_a_page_is_whole_and_fetches_nothing(story):
    """No address in it but the name of SVG's name space; no element is left open."""
    text = page([Story(test="test_it.py::test_it", modes=["sim"], flows=[story], again="pytest x")])
    seen = Page(text)
    assert set(re.findall(r"https?://[^\"' )]*", text)) == {"http://www.w3.org/2000/svg"}
    assert not {"src", "href"} & {name for name, _ in seen.attributes}
    assert [t for t, _ in seen.tags].count("style") == 1
    assert "@import" not in text
    assert "url(#celeryflow-" in text
    assert 'id="celeryflow-then"' in text


def test_failures_come_first_and_are_open():
    """What passed is folded."""
    stories = [
        Story(test="a", outcome="passed"),
        Story(test="b", outcome="failed", why="assert <1>", whole="E assert <1>"),
        Story(test="c", outcome="error", why="boom"),
        Story(test="d", outcome="xfailed"),
    ]
    seen = Page(page(stories, made="made by hand"))
    tests = seen.classes("details", "test")
    assert [(a["class"], "open" in a) for a in tests] == [
        ("test failed", True),
        ("test error", True),
        ("test passed", False),
        ("test xfailed", False),
    ]
    assert "1 failed 1 error 1 passed 1 xfailed" in seen.text
    assert "assert <1>" in seen.text
    assert "made by hand" in seen.text


def test_a_page_without_tests():
    """It says so."""
    assert "No test used a flow." in Page(page([])).text


def test_a_story_goes_through_json(story):
    """As it does from a worker of xdist."""
    told = Story(test="t", modes=["sim"], flows=[story], left_out=3)
    assert page([Story.from_plain(json.loads(json.dumps(told.to_plain())))]) == page([told])
    assert "3 flows before what is shown here." in page([told])


# --- in a session ---

TESTS = """
    import pytest
    from celery import shared_task

    @shared_task(acks_late=True)
    def {name}(x):
        return x + 1

    def test_passes(celeryflow):
        assert celeryflow.run({name}.s(1)).value == 2

    def test_fails(celeryflow):
        celeryflow.faults.drop({name})
        assert celeryflow.run({name}.s(1)).value == 3

    @pytest.mark.xfail(reason="known")
    def test_is_expected_to_fail(celeryflow):
        assert celeryflow.run({name}.s(1)).value == 3

    @pytest.fixture
    def broken(celeryflow):
        celeryflow.run({name}.s(1))
        yield
        raise RuntimeError("at the end")

    def test_ends_badly(broken):
        pass

    @pytest.mark.celeryflow_explore(runs=10, strategy="crash_points")
    def test_explored(celeryflow):
        assert celeryflow.run({name}.s(1)).verdict.ok

    def test_of_several(celeryflow_eager, celeryflow_app):
        celeryflow_eager.run({name}.s(1))

    def test_without_a_flow():
        pass

    def test_skipped(celeryflow):
        pytest.skip("not today")
"""


@pytest.fixture
def session(pytester, request):
    """Run pytest on a file of tests, and read what it wrote."""
    names = []

    def run(*options, ini="", file="out/report.html"):
        names.append(f"inc{len(names)}_{request.node.name.partition('[')[0][-8:]}")
        pytester.makepyfile(test_shop=TESTS.format(name=names[-1]))
        pytester.makeini(f"[pytest]\n{ini}")
        others = ("randomly", "celery", "asyncio", "django", "hypothesispytest")
        blocked = [part for name in others for part in ("-p", f"no:{name}")]
        result = pytester.runpytest(*blocked, "-p", "no:cacheprovider", *options)
        path = Path(pytester.path, file)
        return result, Page(path.read_text(encoding="utf-8")) if path.exists() else None

    return run


def summaries(seen):
    """Outcome, mode and name of each test, as the page lists them."""
    found = re.findall(
        r"(passed|failed|error|xfailed) (sim|eager) test_shop.py::test_(\w+)", seen.text
    )
    return {name: (outcome, mode) for outcome, mode, name in found}


EXPECTED = {
    "fails": ("failed", "sim"),
    "ends_badly": ("error", "sim"),
    "explored": ("failed", "sim"),
    "passes": ("passed", "sim"),
    "is_expected_to_fail": ("xfailed", "sim"),
    "of_several": ("passed", "eager"),
    "skipped": ("skipped", "sim"),
}


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_every_test_that_used_a_flow_is_there(session, options):
    """With its outcome, its mode, why it failed, and how to run it again."""
    result, seen = session("--celeryflow-html", "out/report.html", *options)
    result.stdout.fnmatch_lines(["*celeryflow html: *report.html*"])
    found = summaries(seen)
    assert found == {k: v for k, v in EXPECTED.items() if k != "skipped"}
    assert "without_a_flow" not in seen.text
    assert "WorkflowStalled: the result of inc" in seen.text
    assert "was dropped on its way" in seen.text
    assert "RuntimeError: at the end" in seen.text
    assert "pytest 'test_shop.py::test_explored' --celeryflow-replay cf1:" in seen.text
    assert len(seen.classes("div", "lanes")) == 6


@pytest.mark.slow
def test_the_ini_twin_is_relative_to_its_file(session, pytester):
    """And the command to run a test again names what the session was told."""
    result, seen = session(
        "--celeryflow-seed", "7", "-k", "passes", ini="celeryflow_html = here/report.html",
        file="here/report.html",
    )  # fmt: skip
    result.assert_outcomes(passed=1, deselected=7)
    assert "pytest 'test_shop.py::test_passes' --celeryflow-seed 7" in seen.text


@pytest.mark.slow
def test_without_the_option_nothing_is_written(session):
    """Nor said."""
    result, seen = session("-k", "passes")
    assert seen is None
    result.stdout.no_fnmatch_line("*celeryflow html*")


@pytest.mark.parametrize(("file", "said"), [(".", "is a directory"), ("", "is empty")])
def test_what_is_no_file_is_refused(session, file, said):
    """Before the first test runs."""
    result, _ = session(f"--celeryflow-html={file}")
    result.stderr.fnmatch_lines([f"ERROR: celeryflow-html: *{said}*"])
