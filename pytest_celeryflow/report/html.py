"""Tests and what happened in them, as one HTML file that needs nothing else.

What a test did is written where it ran (`flow_story`), because only there are its values what
they were; the page is made of it elsewhere, perhaps in another process (`page`). So a `Story`
consists of text alone, and goes through JSON.

Knows nothing of pytest, which is in `pytest_celeryflow.plugin_html`, and nothing of Celery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Self

from pytest_celeryflow.durations import duration
from pytest_celeryflow.errors import CeleryflowError
from pytest_celeryflow.history import History
from pytest_celeryflow.report.lanes import SIGNS, Lanes, lanes
from pytest_celeryflow.report.look import SCRIPT, STYLE
from pytest_celeryflow.report.swimlanes import AXIS, swimlanes
from pytest_celeryflow.report.timeline import rows
from pytest_celeryflow.run import Run
from pytest_celeryflow.shape import _inline as inline

__all__ = ["Story", "flow_story", "page"]

_MOST_LINES = 300
_MOST_RUNS = 6
#: Above so many events, to find out what shape a workflow had takes too long for a report.
_SHAPED = 2_000

#: The order in which outcomes are listed.
_OUTCOMES = ("failed", "error", "xpassed", "passed", "xfailed", "skipped")


@dataclass(frozen=True, kw_only=True)
class Story:
    """One test.

    Attributes:
        test: Its node id.
        outcome: ``"passed"``, ``"failed"``, ``"error"``, ``"skipped"``, ``"xfailed"`` or
            ``"xpassed"``.
        modes: The modes of its flows.
        facts: What it was in short: ``"14 executions, 3 retries, 2h"``.
        flows: HTML of what happened in each flow.
        left_out: How many flows there were before these.
        again: The command that runs it again, as it was.
        why: What failed, in short; empty if nothing did.
        whole: What pytest said of the failure.
    """

    test: str
    outcome: str = "passed"
    modes: Sequence[str] = ()
    facts: str = ""
    flows: Sequence[str] = ()
    left_out: int = 0
    again: str = ""
    why: str = ""
    whole: str = ""

    def to_plain(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """What `to_plain` wrote."""
        return cls(**plain)


def facts(histories: Sequence[History]) -> str:
    """What happened in short."""
    done = [e for history in histories for e in history.executions()]
    retries = sum(e.retries > 0 for e in done)
    struck = sum(e.kind == "fault" for history in histories for e in history)
    lasted = sum(history[-1].at - history[0].at for history in histories if len(history))
    said = [_number(len(done), "execution")]
    said += [_number(retries, "retry", "retries")] if retries else []
    said += [_number(struck, "fault")] if struck else []
    return ", ".join([*said, duration(lasted)])


def _number(many: int, one: str, several: str | None = None) -> str:
    return f"{many:,} {one if many == 1 else several or one + 's'}"


def flow_story(mode: str, history: History, runs: Sequence[Run]) -> str:
    """What happened in one flow, as HTML.

    Args:
        mode: Its mode.
        history: Its history.
        runs: What its `run` returned, in order.
    """
    began = history[0].at if len(history) else 0.0
    out = [f'<h3><span class="badge mode">{escape(mode)}</span> {facts([history])}</h3>']
    out += [_run(run) for run in runs[:_MOST_RUNS]]
    if len(runs) > _MOST_RUNS:
        out.append(f'<p class="facts">… and {len(runs) - _MOST_RUNS} more workflows.</p>')
    if not len(history):
        return "\n".join([*out, '<p class="facts">Nothing happened in it.</p>'])
    drawing = lanes(history, began=began, home="test" if mode == "eager" else "elsewhere")
    if drawing.bars or drawing.marks:
        out.append(_drawn(drawing))
    return "\n".join([*out, _words(history, began)])


def _run(run: Run) -> str:
    verdict = run.verdict
    said = [f"{run.state} after {duration(run.elapsed)}"]
    said += [f"{type(run.error).__name__}: {run.error}"] if run.error is not None else []
    said += [f"lost: {', '.join(verdict.lost)}"] if verdict.lost else []
    said += [f"finished more than once: {', '.join(verdict.duplicated)}"] if verdict.duplicated else []
    out = [f'<p class="facts">{escape("; ".join(said))}</p>']
    if verdict.hung:
        out.append(f'<pre class="why">{escape(verdict.hung)}</pre>')
    if len(run.history) <= _SHAPED:
        with suppress(CeleryflowError):  # mode `eager` publishes nothing
            out.insert(0, f'<div class="shape">{inline.drawing(run.shape)}</div>')
    return "\n".join(out)


def _drawn(drawing: Lanes) -> str:
    names = [f'<div style="height:{AXIS}px"></div>']
    names += [
        f'<div style="height:{lane.height:g}px">{escape(lane.name)}</div>' for lane in drawing.lanes
    ]
    out = ['<div class="lanes">', f'<div class="names">{"".join(names)}</div>']
    out += [f'<div class="scroll" tabindex="0">{swimlanes(drawing)}</div>', "</div>"]
    if drawing.left_out:
        more = _number(drawing.left_out, "execution")
        out.append(f'<p class="facts">… and {more} more, which are not drawn.</p>')
    return "\n".join(out)


def _words(history: History, began: float) -> str:
    out = ['<table class="words mono">']
    for row in rows(history, began=began, limit=_MOST_LINES):
        where = f' <span class="where">[{escape(row.worker)}]</span>' if row.worker else ""
        out.append(
            f'<tr class="{row.kind}"><td>{escape(row.at)}</td><td>{escape(row.label)}</td>'
            f"<td>{SIGNS.get(row.kind, row.mark)}</td><td>{escape(row.said)}{where}</td></tr>"
        )
    return "\n".join([*out, "</table>"])


def page(stories: Sequence[Story], *, made: str = "") -> str:
    """The whole file.

    Args:
        stories: The tests, in the order in which they ran; those that failed come first.
        made: When and with what, for the last line.
    """
    counted = Counter(story.outcome for story in stories)
    known = [name for name in _OUTCOMES if counted[name]]
    badges = [f'<li><span class="badge {n}">{counted[n]:,} {n}</span></li>' for n in known]
    ordered = sorted(stories, key=lambda story: _OUTCOMES.index(story.outcome) > 1)
    find = (
        '<div class="find" hidden><input type="search" placeholder="Find a test, a mode, an outcome"'
        ' aria-label="Find"><label><input type="checkbox"> failures only</label></div>'
    )
    none, hidden = ("No test fits.", " hidden") if stories else ("No test used a flow.", "")
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>celeryflow report</title>",
        f"<style>{STYLE}.shape {{{inline.STYLE}}}</style>",
        "</head>",
        "<body>",
        f'<div class="shape">{inline.heads()}</div>',
        "<header>",
        "<h1>Celery workflows under test</h1>",
        f"<p>{_number(len(stories), 'test')} used a flow</p>",
        f'<ul class="counts">{"".join(badges)}</ul>',
        find,
        "</header>",
        "<main>",
        *map(_test, ordered),
        f'<p class="none facts"{hidden}>{none}</p>',
        "</main>",
        f"<footer>{escape(made)}</footer>",
        f"<script>{SCRIPT}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _test(story: Story) -> str:
    broken = story.outcome in ("failed", "error")
    modes = "".join(f'<span class="badge mode">{escape(mode)}</span>' for mode in story.modes)
    out = [
        f'<details class="test {story.outcome}"{" open" if broken else ""}>',
        f'<summary><span class="badge {story.outcome}">{story.outcome}</span>{modes}',
        f'<h2>{escape(story.test)}</h2><span class="facts">{escape(story.facts)}</span></summary>',
        '<div class="inside">',
    ]
    if story.why:
        out.append(f'<section><pre class="why">{escape(story.why)}</pre>')
        if story.whole and story.whole != story.why:
            out.append(
                '<details class="more"><summary>What pytest said</summary>'
                f"<pre>{escape(story.whole)}</pre></details>"
            )
        out.append("</section>")
    if story.left_out:
        before = _number(story.left_out, "flow")
        out.append(f'<section class="facts">{before} before what is shown here.</section>')
    out += [f"<section>{flow}</section>" for flow in story.flows]
    out.append(f'<section><pre class="again">{escape(story.again)}</pre></section>')
    return "\n".join([*out, "</div></details>"])
