"""The command line: draw, run and lint a workflow, and ask what this machine can offer.

Exit codes: 0 when all is well; 1 when a workflow failed, when lint found something, or when
something is missing; 2 for a target or an option that cannot be used.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["main"]

MODES = {"eager": "run_eager", "worker": "run_worker", "sim": "simulate"}


class _Unusable(Exception):
    """A target that cannot be used; its text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_celeryflow", description="Look at Celery workflows without a broker."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    target = argparse.ArgumentParser(add_help=False)
    target.add_argument(
        "target", help="module:attribute, a canvas, a function that returns one, or an app"
    )

    draw = commands.add_parser("draw", parents=[target], help="draw a canvas")
    draw.add_argument("--format", choices=["tree", "mermaid", "svg", "json"], default="tree")
    draw.add_argument("--as-sent", action="store_true", help="as Celery really publishes it")
    draw.set_defaults(do=_draw)

    run = commands.add_parser("run", parents=[target], help="run a workflow, with no broker at all")
    run.add_argument("--mode", choices=list(MODES), default="sim")
    run.add_argument("--timeline", action="store_true", help="show what happened")
    run.add_argument("--format", choices=["text", "json"], default="text")
    run.set_defaults(do=_run)

    lint = commands.add_parser("lint", parents=[target], help="find known traps of Celery")
    lint.add_argument("--ignore", default="", metavar="CF104,…", help="codes that do not count")
    lint.add_argument("--format", choices=["text", "json"], default="text")
    lint.set_defaults(do=_lint)

    doctor = commands.add_parser("doctor", help="which modes and services this machine offers")
    doctor.add_argument("--format", choices=["text", "json"], default="text")
    doctor.set_defaults(do=_doctor)

    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path.cwd()))
    try:
        return int(options.do(options))
    except _Unusable as exc:
        print(f"{parser.prog} {options.command}: {exc}", file=sys.stderr)  # noqa: T201
        return 2


def _say(text: str) -> None:
    print(text)  # noqa: T201 - it is what the command is for


def _found(target: str) -> Any:
    """What a target names; a function that returns a canvas is called."""
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        raise _Unusable(f"target {target!r} is not module:attribute, such as shop.tasks:checkout")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as exc:
        raise _Unusable(f"target {target!r}: {module_name!r} cannot be imported: {exc}") from exc
    for name in path.split("."):
        if not hasattr(found, name):
            there = ", ".join(n for n in sorted(vars(found)) if not n.startswith("_")) or "nothing"
            raise _Unusable(f"target {target!r}: there is no {name!r}; there are: {there}")
        found = getattr(found, name)
    return found


def _canvas(target: str) -> Any:
    """A canvas: what the target names, or what the function that it names returns."""
    from celery import Celery  # noqa: PLC0415 - only what is used is loaded
    from celery.canvas import Signature  # noqa: PLC0415

    found = _found(target)
    is_task = hasattr(found, "apply_async") and hasattr(found, "run")
    if is_task and not isinstance(found, Signature):
        return found.s()
    if not isinstance(found, Signature | Celery) and callable(found):
        try:
            found = found()
        except TypeError as exc:
            raise _Unusable(f"target {target!r} cannot be called without arguments: {exc}") from exc
    if not isinstance(found, Signature):
        raise _Unusable(
            f"target {target!r} is {type(found).__name__}, and not a canvas, a task, or a function "
            "that returns a canvas"
        )
    return found


def _draw(options: argparse.Namespace) -> int:
    from pytest_celeryflow.shape import shape  # noqa: PLC0415

    drawn = shape(_canvas(options.target), as_sent=options.as_sent)
    if options.format == "json":
        _say(json.dumps(drawn.to_json(), indent=2))
    else:
        _say(getattr(drawn, options.format)())
    return 0


def _run(options: argparse.Namespace) -> int:
    canvas = _canvas(options.target)
    package = importlib.import_module("pytest_celeryflow")
    context: Callable[..., Any] = getattr(package, MODES[options.mode])
    app = canvas.app
    with context(getattr(app, "_get_current_object", lambda: app)()) as flow:
        try:
            run = flow.run(canvas)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the workflow failed
            print(f"never published: {type(exc).__name__}: {exc}", file=sys.stderr)  # noqa: T201
            return 1
        if options.format == "json":
            error = None if run.error is None else f"{type(run.error).__name__}: {run.error}"
            told = {
                "state": run.state,
                "value": repr(run.value) if run.error is None and not run.verdict.hung else None,
                "error": error or run.verdict.hung,
                "elapsed": run.elapsed,
                "executions": len(run.executions),
                "history": json.loads(run.history.to_json()),
            }
            _say(json.dumps(told, indent=2))
        else:
            if options.timeline:
                _say(f"{run.timeline()}\n")
            _say(_outcome(run))
        return int(run.error is not None or bool(run.verdict.hung))


def _outcome(run: Any) -> str:
    if run.verdict.hung:
        return str(run.verdict.hung)
    if run.error is not None:
        return f"{run.state}: {type(run.error).__name__}: {run.error}".rstrip(": ")
    return f"{run.state}: {run.value!r}"


def _lint(options: argparse.Namespace) -> int:
    from celery import Celery  # noqa: PLC0415

    from pytest_celeryflow.errors import CeleryflowAssertionError  # noqa: PLC0415
    from pytest_celeryflow.lint import assert_clean  # noqa: PLC0415

    found = _found(options.target)
    subject = found if isinstance(found, Celery) else _canvas(options.target)
    try:
        assert_clean(subject, ignore=[c.strip() for c in options.ignore.split(",") if c.strip()])
    except ValueError as exc:
        raise _Unusable(str(exc)) from exc
    except CeleryflowAssertionError as exc:
        findings = exc.actual
        if options.format == "json":
            fields = ("code", "rule", "message", "path", "hint", "url")
            _say(json.dumps([{n: getattr(f, n) for n in fields} for f in findings], indent=2))
        else:
            _say(str(exc))
        return 1
    _say("[]" if options.format == "json" else "nothing found")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    told = {
        "mode eager": None,
        "mode worker": None,
        "mode sim": None,
        "redis-py": _importable("redis", "pip install 'pytest-celeryflow[redis]'"),
        "a real Redis": _service("find_redis"),
        "a real RabbitMQ": _service("find_rabbitmq"),
    }
    if options.format == "json":
        _say(json.dumps({what: {"ok": why is None, "why": why} for what, why in told.items()}))
    else:
        width = max(map(len, told))
        for what, why in told.items():
            _say(f"{what.ljust(width)}  {'ok' if why is None else f'no: {why}'}")
    return 0


def _importable(module: str, remedy: str) -> str | None:
    try:
        importlib.import_module(module)
    except ImportError as exc:
        return f"{exc}; {remedy}"
    return None


def _service(finder: str) -> str | None:
    from pytest_celeryflow import services  # noqa: PLC0415

    try:
        found = getattr(services, finder)()
    except services.ServiceMissing as exc:
        return str(exc)
    if isinstance(found, services.PrivateRedis):
        found.stop()
    return None


if __name__ == "__main__":
    sys.exit(main())
