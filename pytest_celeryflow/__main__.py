"""The command line: draw, run and lint a workflow, and ask what this machine can offer.

``python -m pytest_celeryflow`` and the script ``celeryflow`` are the same. Exit codes: 0 when all
is well; 1 when a workflow failed, lint found something, or something that is needed is missing;
2 for a target or an option that cannot be used.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pytest_celeryflow.command.target import Unusable, canvas, found
from pytest_celeryflow.errors import CeleryflowError

__all__ = ["main"]

MODES = {
    "eager": "run_eager",
    "worker": "run_worker",
    "sim": "simulate",
    "process": "run_process",
}

_EXAMPLES = """\
examples:
  %(prog)s draw shop.tasks:checkout --format mermaid
  %(prog)s run shop.tasks:checkout --args '["A-1"]' --timeline
  %(prog)s lint shop.celery:app --ignore CF207
  %(prog)s doctor --require redis

exit codes: 0 all is well; 1 the workflow failed, lint found something, or something required is
missing; 2 the target or an option cannot be used
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        _say(_versions())
        return 0
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    sys.path.insert(0, str(Path.cwd()))
    try:
        return int(options.do(options))
    except Unusable as exc:
        print(f"{parser.prog} {options.command}: {exc}", file=sys.stderr)  # noqa: T201
        return 2


def _parser() -> argparse.ArgumentParser:
    script = Path(sys.argv[0]).stem == "celeryflow"
    parser = argparse.ArgumentParser(
        prog="celeryflow" if script else "python -m pytest_celeryflow",
        description="Look at Celery workflows without a broker.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="say which versions these are")
    commands = parser.add_subparsers(dest="command", metavar="command")
    target = argparse.ArgumentParser(add_help=False)
    target.add_argument(
        "target", help="module:attribute: a canvas, a task, a function that returns a canvas"
    )
    called = argparse.ArgumentParser(add_help=False)
    called.add_argument("-a", "--args", default="[]", metavar="JSON", help="for a task or function")
    called.add_argument("-k", "--kwargs", default="{}", metavar="JSON", help="the same, by name")

    draw = commands.add_parser("draw", parents=[target, called], help="draw a canvas")
    draw.add_argument("--format", choices=["tree", "mermaid", "svg", "json"], default="tree")
    draw.add_argument("--as-sent", action="store_true", help="as Celery really publishes it")
    draw.set_defaults(do=_draw)

    run = commands.add_parser(
        "run", parents=[target, called], help="run a workflow; but in mode process, with no broker"
    )
    run.add_argument("--mode", choices=list(MODES), default="sim")
    run.add_argument("--timeline", action="store_true", help="show what happened")
    run.add_argument("--format", choices=["text", "json"], default="text")
    run.set_defaults(do=_run)

    lint = commands.add_parser(
        "lint", parents=[target, called], help="find known traps of Celery in a canvas or an app"
    )
    lint.add_argument(
        "--ignore", default="", metavar="CF104,…", help="what does not count: CF104, CF104@notify"
    )
    lint.add_argument("--format", choices=["text", "json"], default="text")
    lint.set_defaults(do=_lint)

    doctor = commands.add_parser("doctor", help="which modes and services this machine offers")
    doctor.add_argument(
        "--require", action="append", default=[], choices=["redis", "rabbitmq", "process"],
        help="exit with 1 if it is missing; may be repeated",
    )  # fmt: skip
    doctor.add_argument("--format", choices=["text", "json"], default="text")
    doctor.set_defaults(do=_doctor)
    return parser


def _versions() -> str:
    celery = importlib.import_module("celery").__version__
    own = importlib.import_module("pytest_celeryflow").__version__
    kombu = importlib.import_module("kombu").__version__
    python = sys.version.split()[0]
    return f"pytest-celeryflow {own}, celery {celery}, kombu {kombu}, Python {python}"


def _say(text: str) -> None:
    print(text)  # noqa: T201 - it is what the command is for


def _canvas(options: argparse.Namespace) -> Any:
    args, kwargs = _json(options, "args", list), _json(options, "kwargs", dict)
    return canvas(options.target, args, kwargs)


def _json(options: argparse.Namespace, name: str, kind: type) -> Any:
    given = getattr(options, name)
    what = "a list" if kind is list else "an object"
    try:
        value = json.loads(given)
    except json.JSONDecodeError as exc:
        raise Unusable(f"--{name} {given!r} is not JSON: {exc}") from exc
    if not isinstance(value, kind):
        raise Unusable(f"--{name} {given!r} must be {what} of JSON")
    return value


def _draw(options: argparse.Namespace) -> int:
    from pytest_celeryflow.shape import shape  # noqa: PLC0415 - only what is used is loaded

    drawn = shape(_canvas(options), as_sent=options.as_sent)
    if options.format == "json":
        _say(json.dumps(drawn.to_json(), indent=2))
    else:
        _say(getattr(drawn, options.format)())
    return 0


def _run(options: argparse.Namespace) -> int:
    published = _canvas(options)
    package = importlib.import_module("pytest_celeryflow")
    context: Callable[..., Any] = getattr(package, MODES[options.mode])
    app = published.app
    with ExitStack() as stack:
        try:
            flow = stack.enter_context(context(getattr(app, "_get_current_object", lambda: app)()))
        # The client of a result backend; a server, or an app that a process could import.
        except (ImportError, ValueError, CeleryflowError) as exc:
            raise Unusable(f"mode {options.mode!r} cannot be opened: {exc}") from exc
        try:
            run = flow.run(published)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the workflow failed
            return _never_published(options, exc)
        if options.format == "json":
            _say(json.dumps(_told(run), indent=2))
        else:
            if options.timeline:
                _say(f"{run.timeline()}\n")
            _say(_outcome(run))
        return int(run.error is not None or bool(run.verdict.hung))


def _never_published(options: argparse.Namespace, exc: Exception) -> int:
    said = f"never published: {type(exc).__name__}: {exc}"
    if options.format == "json":
        _say(json.dumps({"state": None, "value": None, "error": said}, indent=2))
    else:
        print(said, file=sys.stderr)  # noqa: T201
    return 1


def _told(run: Any) -> dict[str, Any]:
    error = None if run.error is None else f"{type(run.error).__name__}: {run.error}"
    return {
        "state": run.state,
        "value": repr(run.value) if run.error is None and not run.verdict.hung else None,
        "error": error or run.verdict.hung,
        "elapsed": run.elapsed,
        "executions": len(run.executions),
        "history": json.loads(run.history.to_json()),
    }


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

    named = found(options.target)
    subject = named if isinstance(named, Celery) else _canvas(options)
    try:
        assert_clean(subject, ignore=[c.strip() for c in options.ignore.split(",") if c.strip()])
    except ValueError as exc:
        raise Unusable(str(exc)) from exc
    except CeleryflowAssertionError as exc:
        findings = exc.actual
        if options.format == "json":
            fields = ("code", "rule", "message", "path", "task", "hint", "url")
            _say(json.dumps([{n: getattr(f, n) for n in fields} for f in findings], indent=2))
        else:
            _say(str(exc))
        return 1
    _say("[]" if options.format == "json" else "nothing found")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from pytest_celeryflow.command.doctor import diagnose  # noqa: PLC0415

    diagnosis = diagnose()
    _say(json.dumps(diagnosis.to_json(), indent=2) if options.format == "json" else str(diagnosis))
    return int(bool(diagnosis.missing(options.require)))


if __name__ == "__main__":
    sys.exit(main())
