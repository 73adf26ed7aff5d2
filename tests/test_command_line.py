"""`python -m pytest_celeryflow`: draw, run, lint, doctor, and their exit codes."""

import json
import subprocess
import sys

import pytest

from pytest_celeryflow.__main__ import main

SHOP = """
from celery import Celery, chord

app = Celery("shop", broker="redis://localhost:1", backend="redis://localhost:1", set_as_current=False)
app.conf.task_time_limit = 60


@app.task(shared=False)
def resize(width):
    return width


@app.task(shared=False)
def publish(widths):
    return sum(widths)


@app.task(shared=False)
def boom():
    raise ZeroDivisionError("boom")


def checkout():
    return chord([resize.s(1), resize.s(2)], publish.s())


nothing = chord([], publish.s())
broken = boom.s()
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module `cmd_shop` in the current directory."""
    (tmp_path / "cmd_shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("cmd_shop", None)


def test_draw(shop, capsys):
    """A tree by default; what the function returns is drawn."""
    assert main(["draw", "cmd_shop:checkout"]) == 0
    assert capsys.readouterr().out == "chord\n├─┬ resize(1)\n│ └ resize(2)\n└─▶ publish()\n"


@pytest.mark.parametrize(
    ("kind", "begins"), [("mermaid", "flowchart"), ("svg", "<svg"), ("json", "{")]
)
def test_draw_formats(shop, capsys, kind, begins):
    """Each for another reader."""
    assert main(["draw", "cmd_shop:checkout", "--format", kind]) == 0
    assert capsys.readouterr().out.startswith(begins)


def test_run(shop, capsys):
    """The app's broker is never asked."""
    pytest.importorskip("redis")
    assert main(["run", "cmd_shop:checkout", "--timeline"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("\n\nSUCCESS: 3\n")
    assert "publish#1  ✓ returned 3" in out


@pytest.mark.parametrize("mode", ["eager", "worker", "sim"])
def test_run_in_each_mode(shop, capsys, mode):
    """One task, whichever way."""
    pytest.importorskip("redis")
    assert main(["run", "cmd_shop:broken", "--mode", mode]) == 1
    assert capsys.readouterr().out == "FAILURE: ZeroDivisionError: boom\n"


def test_run_as_json(shop, capsys):
    """For another program."""
    pytest.importorskip("redis")
    assert main(["run", "cmd_shop:checkout", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["value"], told["executions"]) == ("SUCCESS", "3", 3)
    assert told["history"][0]["kind"] == "published"


def test_run_what_cannot_be_published(shop, capsys):
    """A task without the arguments that it needs."""
    pytest.importorskip("redis")
    assert main(["run", "cmd_shop:resize"]) == 1
    assert "never published: TypeError: " in capsys.readouterr().err


def test_lint(shop, capsys):
    """1 when something was found, and 0 when it does not count."""
    assert main(["lint", "cmd_shop:nothing"]) == 1
    assert "CF103 nothing-to-run" in capsys.readouterr().out
    assert main(["lint", "cmd_shop:nothing", "--ignore", "CF103"]) == 0
    assert capsys.readouterr().out == "nothing found\n"


def test_lint_as_json(shop, capsys):
    """A list of findings."""
    assert main(["lint", "cmd_shop:nothing", "--format", "json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)
    assert finding["code"] == "CF103"


def test_lint_an_app(shop, capsys):
    """An app is a target, too."""
    assert main(["lint", "cmd_shop:app"]) == 0
    assert capsys.readouterr().out == "nothing found\n"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("cmd_shop", "'cmd_shop' is not module:attribute"),
        ("no_such_module:x", "'no_such_module' cannot be imported"),
        ("cmd_shop:chekout", "there is no 'chekout'; there are: Celery, app, boom, broken, che"),
        ("cmd_shop:app", "is Celery, and not a canvas, a task, or a function that returns a can"),
    ],
)
def test_a_target_that_cannot_be_used(shop, capsys, target, message):
    """2, and what would do."""
    assert main(["draw", target]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_code_of_lint(shop, capsys):
    """2, and the codes there are."""
    assert main(["lint", "cmd_shop:nothing", "--ignore", "CF999"]) == 2
    assert "CF999" in capsys.readouterr().err


def test_doctor(capsys):
    """Each mode and each service, and why not."""
    assert main(["doctor", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mode sim"] == {"ok": True, "why": None}
    assert {"a real Redis", "a real RabbitMQ", "redis-py"} <= set(told)
    assert all(each["ok"] == (each["why"] is None) for each in told.values())


def test_as_a_module(shop):
    """The way it is called."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest_celeryflow", "draw", "cmd_shop:resize"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "resize()\n")
