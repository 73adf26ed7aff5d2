"""How the HTML report looks: its style sheet, and the few lines of script that filter it.

Everything is in the page: no font, no image and no script is fetched from anywhere. Without
scripts the page is whole, and only the filter is missing.
"""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1c2530; --soft: #5d6b7a; --rim: #dde2e8;
  --lane: #fafbfc; --odd: #f1f4f7; --grid: #e3e8ee; --pause: #eceff3; --accent: #2962a8;
  --ok: #1a7f4b; --okfill: #dcf3e6; --bad: #b3261e; --badfill: #fbe1df;
  --again: #8a5a00; --againfill: #fdeecb; --lost: #6b3fa0; --lostfill: #ebe0f7;
  --other: #55606c; --otherfill: #e6eaee; --open: #2962a8; --openfill: #deeafa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181d; --card: #1c2229; --ink: #e6eaef; --soft: #97a4b2; --rim: #323b46;
    --lane: #20272f; --odd: #252d36; --grid: #333d48; --pause: #2a323c; --accent: #7fb2f0;
    --ok: #6fd49c; --okfill: #173d2a; --bad: #ff8f85; --badfill: #4a1f1c;
    --again: #f0c058; --againfill: #453512; --lost: #c6a5f0; --lostfill: #37264d;
    --other: #b0bac5; --otherfill: #333c46; --open: #7fb2f0; --openfill: #1f3550;
  }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif }
main, header { max-width: 1320px; margin: 0 auto; padding: 0 24px }
header { padding-top: 28px; padding-bottom: 8px }
h1 { font-size: 22px; margin: 0 0 2px } h1 + p { margin: 0; color: var(--soft) }
h2 { font-size: 15px; margin: 0; font-weight: 600; overflow-wrap: anywhere }
h3 { font-size: 14px; margin: 0 0 6px; font-weight: 600 }
p { margin: 6px 0 }
code, pre, .mono, .swim text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
  'DejaVu Sans Mono', monospace }
.counts { display: flex; flex-wrap: wrap; gap: 8px; margin: 16px 0 0; padding: 0; list-style: none }
.find { display: flex; flex-wrap: wrap; gap: 16px; align-items: center; margin: 14px 0 0 }
.find[hidden] { display: none }
.find input[type=search] { font: inherit; padding: 6px 10px; width: 320px; max-width: 100%;
  border: 1px solid var(--rim); border-radius: 6px; background: var(--card); color: inherit }
.find label { color: var(--soft); display: inline-flex; gap: 6px; align-items: center }
.badge { display: inline-block; padding: 1px 9px; border-radius: 999px; font-size: 12.5px;
  font-weight: 600; white-space: nowrap; background: var(--otherfill); color: var(--other) }
.badge.passed, .badge.xpassed { background: var(--okfill); color: var(--ok) }
.badge.failed, .badge.error { background: var(--badfill); color: var(--bad) }
.badge.xfailed { background: var(--againfill); color: var(--again) }
.badge.mode { background: var(--openfill); color: var(--open) }
details.test { background: var(--card); border: 1px solid var(--rim); border-radius: 10px;
  margin: 12px 0 }
details.test.failed, details.test.error { border-color: var(--bad) }
details.test > summary { cursor: pointer; padding: 12px 18px; display: flex; gap: 10px;
  align-items: baseline; list-style: none }
details.test > summary::-webkit-details-marker { display: none }
details.test > summary::before { content: '▸'; color: var(--soft); width: 12px; flex: none }
details.test[open] > summary::before { content: '▾' }
summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 8px }
summary .facts { margin-left: auto; color: var(--soft); font-size: 13px; white-space: nowrap;
  padding-left: 16px }
.inside { padding: 0 18px 18px }
.inside > section { border-top: 1px solid var(--rim); margin-top: 18px; padding-top: 14px }
.inside > section:first-child { margin-top: 0 }
.inside > section:last-child { border: 0; padding: 0; margin-top: 10px }
.facts { color: var(--soft); font-size: 13.5px }
pre { background: var(--lane); border: 1px solid var(--rim); border-radius: 6px; padding: 10px 12px;
  margin: 8px 0; overflow-x: auto; font-size: 12.5px; line-height: 1.45 }
pre.why { border-left: 3px solid var(--bad) }
pre.again { border-left: 3px solid var(--accent); user-select: all; white-space: pre-wrap;
  overflow-wrap: anywhere }
details.more > summary { cursor: pointer; color: var(--soft); font-size: 13px; margin: 8px 0 }
.lanes { display: flex; border: 1px solid var(--rim); border-radius: 6px; overflow: hidden;
  margin: 10px 0 }
.names { flex: none; border-right: 1px solid var(--rim); font-size: 12.5px; color: var(--soft) }
.names div { padding: 0 12px; display: flex; align-items: center }
.scroll { overflow-x: auto; flex: 1 }
.swim { display: block; min-width: 100% }
.swim text { font-size: 11px; fill: var(--ink) }
.swim .lane { fill: var(--lane) } .swim .lane.odd { fill: var(--odd) }
.swim .pause { fill: var(--pause) }
.swim .tick { stroke: var(--grid); stroke-width: 1; fill: none }
.swim .moment { fill: var(--soft) }
.swim .soft { fill: var(--soft) }
.swim .tie { fill: none; stroke: var(--soft); stroke-width: 1.1; opacity: .55 }
.swim .tie.again { stroke: var(--again); stroke-dasharray: 4 3; opacity: 1 }
.swim .bar rect { stroke-width: 1.2 }
.swim .bar .sign { font-weight: 700 }
.swim .ok rect { fill: var(--okfill); stroke: var(--ok) } .swim .ok .sign { fill: var(--ok) }
.swim .bad rect { fill: var(--badfill); stroke: var(--bad) } .swim .bad .sign { fill: var(--bad) }
.swim .bar.again rect { fill: var(--againfill); stroke: var(--again) }
.swim .bar.again .sign { fill: var(--again) }
.swim .lost rect { fill: var(--lostfill); stroke: var(--lost); stroke-dasharray: 4 2 }
.swim .bar.lost .sign { fill: var(--lost) }
.swim .other rect { fill: var(--otherfill); stroke: var(--other) }
.swim .open rect { fill: var(--openfill); stroke: var(--open); stroke-dasharray: 2 2 }
.swim .mark circle { fill: var(--card); stroke: var(--other); stroke-width: 1.2 }
.swim .mark text { text-anchor: middle; font-size: 12px; fill: var(--other) }
.swim .mark.fault circle { fill: var(--againfill); stroke: var(--again) }
.swim .mark.fault text { fill: var(--again) }
.swim .mark.lost circle, .swim .mark.dropped circle { fill: var(--lostfill); stroke: var(--lost) }
.swim .mark.lost text, .swim .mark.dropped text { fill: var(--lost) }
.swim .mark.timeout circle, .swim .mark.failed circle { fill: var(--badfill); stroke: var(--bad) }
.swim .mark.timeout text, .swim .mark.failed text { fill: var(--bad) }
.swim .bar:hover rect, .swim .mark:hover circle { stroke-width: 2.4 }
.shape { overflow-x: auto }
table.words { border-collapse: collapse; font-size: 12.5px; width: 100% }
table.words td { padding: 1px 14px 1px 0; vertical-align: top; white-space: pre-wrap;
  overflow-wrap: anywhere }
table.words td:first-child { text-align: right; color: var(--soft); white-space: nowrap }
table.words td:nth-child(2), table.words td:nth-child(3) { white-space: nowrap }
table.words td:last-child { width: 100% }
table.words .where { color: var(--soft) }
table.words tr.failed td:nth-child(n+3), table.words tr.timeout td:nth-child(n+3) { color: var(--bad) }
table.words tr.retried td:nth-child(3), table.words tr.fault td:nth-child(n+3) { color: var(--again) }
table.words tr.succeeded td:nth-child(3) { color: var(--ok) }
table.words tr.lost td:nth-child(n+3), table.words tr.dropped td:nth-child(n+3) { color: var(--lost) }
footer { max-width: 1320px; margin: 0 auto; padding: 18px 24px 36px; color: var(--soft);
  font-size: 13px }
"""

SCRIPT = """
(function () {
  var bar = document.querySelector('.find');
  if (!bar) return;
  bar.hidden = false;
  var text = bar.querySelector('input[type=search]');
  var bad = bar.querySelector('input[type=checkbox]');
  var none = document.querySelector('.none');
  function show() {
    var words = text.value.toLowerCase().split(/\\s+/), seen = 0;
    document.querySelectorAll('details.test').forEach(function (test) {
      var said = test.querySelector('summary').textContent.toLowerCase();
      var fits = words.every(function (word) { return said.indexOf(word) >= 0; });
      var wanted = !bad.checked || /failed|error/.test(test.className);
      test.hidden = !(fits && wanted);
      seen += test.hidden ? 0 : 1;
    });
    none.hidden = seen > 0;
  }
  text.addEventListener('input', show);
  bad.addEventListener('change', show);
})();
"""
