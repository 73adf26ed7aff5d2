"""`python -m pytest_celeryflow`: draw, run, lint, doctor, and their exit codes."""

import json
import re
import subprocess
import sys

import celery
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


def late(order):
    return boom.s(order)


def seven():
    return number


def trouble():
    raise KeyError("order")


number = 7
nothing = chord([], publish.s())
broken = boom.s()
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module `cmd_shop` in the current directory."""
    (tmp_path / "cmd_shop.py").write_text(SHOP)
    (tmp_path / "cmd_broken.py").write_text("app = aap\n")
    (tmp_path / "cmd_missing.py").write_text("import no_such_library\n")
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


def test_a_mode_that_cannot_be_opened(shop, capsys, monkeypatch):
    """2, and what it needs."""
    pytest.importorskip("redis")
    monkeypatch.setenv("CELERYFLOW_REDIS_URL", "redis://localhost:1/0")
    assert main(["run", "cmd_shop:broken", "--mode", "process"]) == 2
    assert "mode 'process' cannot be opened: no Redis: " in capsys.readouterr().err


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
        ("cmd_shop", "target 'cmd_shop' is not module:attribute, such as shop.tasks:checkout"),
        ("cmd_shp:x", "there is no module 'cmd_shp' in "),
        ("cmd_shp:x", "or on Python's path; did you mean cmd_shop?"),
        ("cmd_shop.tasks:x", "there is no module 'cmd_shop.tasks' in "),
        ("cmd_shop:chekout", "there is no 'chekout'; did you mean checkout?"),
        ("cmd_shop:xyz", "; what could be meant: app, boom, broken, checkout, late, nothing, "),
        ("cmd_shop:app", "is a Celery app; draw and run take a canvas, a task, or a function th"),
        ("cmd_shop:number", "is an int; draw and run take a canvas, a task, or a function that re"),
        ("cmd_shop:seven", "returns an int; draw and run take a canvas"),
        ("cmd_shop:late", "cannot be called as late(): missing a required argument: 'order'. It i"),
        ("cmd_shop:late", "is late(order): give --args '[…]' or --kwargs '{…}', as JSON"),
        ("cmd_shop:trouble", "trouble() raises KeyError: 'order'"),
        ("cmd_broken:x", "importing 'cmd_broken' fails: NameError: name 'aap' is not defined (/"),
        ("cmd_missing:x", "importing 'cmd_missing' fails: ModuleNotFoundError: No module named 'n"),
    ],
)
def test_a_target_that_cannot_be_used(shop, capsys, target, message):
    """2, and what would do."""
    assert main(["draw", target]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"python -m pytest_celeryflow draw: target {target!r}")
    assert message in err


def test_arguments_of_a_function(shop, capsys):
    """As JSON, as `celery call` takes them."""
    assert main(["draw", "cmd_shop:late", "--args", '["A-1"]']) == 0
    assert capsys.readouterr().out == "boom('A-1')\n"
    assert main(["draw", "cmd_shop:late", "-k", '{"order": "A-2"}']) == 0
    assert capsys.readouterr().out == "boom('A-2')\n"


def test_arguments_of_a_task(shop, capsys):
    """It runs with them."""
    pytest.importorskip("redis")
    assert main(["run", "cmd_shop:resize", "-a", "[7]"]) == 0
    assert capsys.readouterr().out == "SUCCESS: 7\n"


@pytest.mark.parametrize(
    ("target", "args", "message"),
    [
        ("cmd_shop:nothing", "[1]", "is a canvas, which has its arguments"),
        ("cmd_shop:resize", "[1", "--args '[1' is not JSON: "),
        ("cmd_shop:resize", "1", "--args '1' must be a list of JSON"),
    ],
)
def test_arguments_that_cannot_be_used(shop, capsys, target, args, message):
    """2, and why."""
    assert main(["draw", target, "--args", args]) == 2
    assert message in capsys.readouterr().err


def test_without_a_command(capsys):
    """2, and what there is."""
    assert main([]) == 2
    err = capsys.readouterr().err
    assert all(command in err for command in ("draw", "run", "lint", "doctor", "exit codes:"))


def test_version(capsys):
    """Of all that matters in a report of a bug."""
    assert main(["--version"]) == 0
    out = capsys.readouterr().out
    assert re.fullmatch(r"pytest-celeryflow \S+, celery \S+, kombu \S+, Python \S+\n", out)


def test_an_unknown_code_of_lint(shop, capsys):
    """2, and the codes there are."""
    assert main(["lint", "cmd_shop:nothing", "--ignore", "CF999"]) == 2
    assert "CF999" in capsys.readouterr().err


def test_doctor_as_json(capsys):
    """Each mode and each service, and why not."""
    assert main(["doctor", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    offers = told["offers"]
    assert offers["mode sim"] == {"ok": True, "why": None, "detail": ""}
    assert {"a real Redis", "a real RabbitMQ", "redis-py", "mode process"} <= set(offers)
    assert all(each["ok"] == (each["why"] is None) for each in offers.values())
    assert told["versions"]["celery"] == celery.__version__


def test_doctor_says_why_a_service_is_missing(capsys, monkeypatch):
    """And fails only if it is required."""
    monkeypatch.setenv("CELERYFLOW_REDIS_URL", "redis://localhost:1/0")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^a real Redis +no: no Redis: ", out, re.MULTILINE)
    assert main(["doctor", "--require", "redis"]) == 1


def test_doctor_tells_what_the_environment_changes(capsys, monkeypatch):
    """Without passwords."""
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://me:secret@broker:5672//")
    main(["doctor"])
    out = capsys.readouterr().out
    assert "  CELERY_BROKER_URL=amqp://me:**@broker:5672//: outranks the broker_url of eve" in out
    assert "secret" not in out


def test_as_a_module(shop):
    """The way it is called."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest_celeryflow", "draw", "cmd_shop:resize"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "resize()\n")
