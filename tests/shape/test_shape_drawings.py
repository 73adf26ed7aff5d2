"""Drawings: tree, Mermaid and SVG."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from celery import chain, group

from pytest_celeryflow.shape import Shape, shape

NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


@pytest.fixture
def wide(t: SimpleNamespace) -> Any:
    return t.fetch.s("u") | group(t.resize.s(n) for n in range(200)) | t.publish.s()


def picture(canvas: Any) -> ElementTree.Element:
    return ElementTree.fromstring(shape(canvas).svg())


def labels(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iterfind(".//svg:text", NAMESPACE)]


def test_a_tree(t: SimpleNamespace) -> None:
    canvas = t.fetch.s("u").on_error(t.clean.s()) | group(t.resize.s(1), t.resize.s(2))
    assert shape(canvas | t.publish.s() | t.notify.si("done")).tree().splitlines() == [
        "fetch('u')",
        "  ╌ on_error clean()",
        "chord",
        "├─┬ resize(1)",
        "│ └ resize(2)",
        "└─▶ publish()",
        "notify.si('done')",
    ]


def test_a_tree_of_a_group_of_chains(t: SimpleNamespace) -> None:
    canvas = group(t.fetch.s() | t.resize.s(), t.audit.s())
    assert shape(canvas).tree() == "group\n├─ fetch()\n│  resize()\n└─ audit()"


def test_a_tree_of_a_chain_with_callbacks_of_its_own(t: SimpleNamespace) -> None:
    canvas = chain(t.fetch.s(), t.publish.s()).set(queue="slow")
    canvas.link(t.audit.s())
    lines = shape(canvas).tree().splitlines()
    assert lines == ["chain.set(queue='slow')", "  fetch()", "  publish()", "  ╌ link audit()"]


def test_a_wide_group_is_one_line_of_the_tree(wide: Any) -> None:
    assert shape(wide).tree() == "fetch('u')\nchord\n├── resize(…) × 200\n└─▶ publish()"


def test_long_lines_of_a_tree_are_cut(t: SimpleNamespace) -> None:
    line = shape(t.fetch.s("x" * 300)).tree(width=40)
    assert len(line) == 40
    assert line.endswith("…")


def test_mermaid_shows_the_fan_out_and_the_fan_in(t: SimpleNamespace) -> None:
    canvas = t.fetch.s("u") | group(t.resize.s(1), t.resize.s(2)) | t.publish.s()
    assert shape(canvas).mermaid() == (
        "flowchart LR\n"
        "  n1[\"fetch('u')\"]\n"
        '  n2["resize(1)"]\n'
        '  n3["resize(2)"]\n'
        '  n4["publish()"]\n'
        "  n2 --> n4\n"
        "  n3 --> n4\n"
        "  n1 --> n2\n"
        "  n1 --> n3\n"
    )


def test_mermaid_draws_errbacks_red_and_links_dashed(t: SimpleNamespace) -> None:
    canvas = t.fetch.s().on_error(t.clean.s())
    canvas.link(t.audit.s())
    lines = shape(canvas).mermaid().splitlines()
    assert "  n1 -. link .-> n2" in lines
    assert "  n1 -. on_error .-> n3" in lines
    assert '  n3["clean()"]:::errback' in lines
    assert "  linkStyle 1 stroke:#c0392b,color:#c0392b" in lines


def test_mermaid_keeps_what_it_would_read_itself(t: SimpleNamespace) -> None:
    chart = shape(t.fetch.s('say "hi" <b> #1 `x`')).mermaid()
    assert "[\"fetch('say #quot;hi#quot; #lt;b#gt; #35;1 #96;x#96;')\"]" in chart


def test_mermaid_of_many_to_many_meets_in_a_point(t: SimpleNamespace) -> None:
    flow = Shape.parse("group(a(), b()) | group(c(), d())").mermaid()
    assert flow.count("-->") == 4
    assert "(( ))" in flow


def test_mermaid_counts_what_a_wide_group_leaves_out(wide: Any) -> None:
    assert '[["resize(…) × 200"]]' in shape(wide).mermaid()


def test_svg_is_well_formed_and_tells_its_text(t: SimpleNamespace) -> None:
    root = picture(t.fetch.s("<&>\"'") | t.publish.s())
    title = root.find("svg:title", NAMESPACE)
    assert title is not None
    assert title.text == str(shape(t.fetch.s("<&>\"'") | t.publish.s()))


def test_svg_has_every_task(t: SimpleNamespace) -> None:
    root = picture(t.fetch.s() | group(t.resize.s(1), t.resize.s(2)) | t.publish.s())
    assert labels(root) == ["fetch()", "resize(1)", "resize(2)", "publish()"]


def test_svg_of_200_members_has_each_of_them_in_a_page(wide: Any) -> None:
    root = picture(wide)
    assert sum(label.startswith("resize(") for label in labels(root)) == 200
    assert float(root.attrib["width"]) < 1400
    assert float(root.attrib["height"]) < 1000


def test_svg_of_200_steps_goes_on_in_rows(t: SimpleNamespace) -> None:
    root = picture(chain(*[t.fetch.s(n) for n in range(200)]))
    assert len(labels(root)) == 200
    assert float(root.attrib["width"]) < 1400


def test_svg_draws_links_dashed_and_errbacks_red(t: SimpleNamespace) -> None:
    canvas = t.fetch.s().on_error(t.clean.s())
    canvas.link(t.audit.s())
    root = picture(canvas)
    assert [g.attrib["class"] for g in root.iterfind(".//svg:g[@class]", NAMESPACE)] == [
        "task",
        "link",
        "error",
    ]
    assert len(root.findall(".//svg:path[@class='link']", NAMESPACE)) == 1
    assert len(root.findall(".//svg:path[@class='error']", NAMESPACE)) == 1


def test_svg_draws_the_barrier_of_a_chord(t: SimpleNamespace) -> None:
    root = picture(group(t.resize.s(1), t.resize.s(2)) | t.publish.s())
    assert len(root.findall(".//svg:rect[@class='bar']", NAMESPACE)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "fetch('u') | chord([resize(1), audit() | clean(), chord([a(), b()], c())], publish()) | d()",
        "group(a(), b().link(c() | d()).on_error(e())).set(queue='q') | group(f(), g())",
        "group((a(…) | b(…)) × 40, c()) | d().on_error(e()).on_error(f())",
        "group(a(…) × 60) | b()",
    ],
)
def test_svg_boxes_stay_inside_and_apart(text: str) -> None:
    root = ElementTree.fromstring(Shape.parse(text).svg())
    width, height = float(root.attrib["width"]) - 32, float(root.attrib["height"]) - 32
    boxes = [
        tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        for g in root.iterfind(".//svg:g[@class]", NAMESPACE)
        for rect in g.findall("svg:rect", NAMESPACE)[-1:]
        if "".join(g.itertext()).strip()
    ]
    for x, y, w, h in boxes:
        assert x >= -16, text
        assert y >= -16, text
        assert x + w <= width + 16, text
        assert y + h <= height + 16, text
    stacked = re.compile("×")
    if not stacked.search(text):
        for index, (x, y, w, h) in enumerate(boxes):
            for a, b, c, d in boxes[index + 1 :]:
                assert x + w <= a or a + c <= x or y + h <= b or b + d <= y, text


def test_the_drawings_of_the_documentation_are_current(t: SimpleNamespace) -> None:
    images = Path(__file__).parents[2] / "docs" / "images"
    for name, drawn in documented().items():
        assert (images / f"{name}.svg").read_text(encoding="utf-8") == drawn, (
            f"draw docs/images anew: python {Path(__file__).relative_to(Path.cwd())}"
        )


def documented() -> dict[str, str]:
    """Draw the pictures of the how-to."""
    texts = {
        "shape-thumbnails": (
            "fetch('u') | chord([resize(100), resize(200), resize(400)], publish())"
            " | notify.si('done')"
        ),
        "shape-callbacks": (
            "chain(stage('a.tar').on_error(clean()), chord([checksum('md5') | record(),"
            " thumbnail().set(queue='slow'), chord([scan('av'), scan('pii')], judge())],"
            " publish()), notify().set(queue='mail')).set(priority=3).link(audit())"
        ),
        "shape-200": (
            f"fetch('u') | chord([{', '.join(f'resize({n})' for n in range(200))}], publish())"
        ),
    }
    return {name: Shape.parse(text).svg() for name, text in texts.items()}


if __name__ == "__main__":
    folder = Path(__file__).parents[2] / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawn in documented().items():
        (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")
