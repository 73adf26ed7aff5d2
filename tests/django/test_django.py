"""A Django project (`project/`): its tests pass in a pytest of their own, each is a test here.

The session of this suite has no Django settings, and an app of Django's in it would change
what all other tests see.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("django_celery_results")
pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parent / "project"


def _tests():
    for path in sorted(PROJECT.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.name}::{node.name}"


def _pytest(project, *arguments, **environment):
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "DJANGO"))}
    command = [sys.executable, "-m", "pytest", "--color=no", *arguments]
    return subprocess.run(
        command, cwd=project, env=kept | environment, capture_output=True, text=True, check=False,
        timeout=300,
    ).stdout  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Name of a test of the project -> its outcomes, and what pytest printed."""
    printed = _pytest(tmp_path_factory.mktemp("django") / "project", "-rA")
    found = {}
    for outcome, file, name in re.findall(r"^([A-Z]+) (\w+\.py)::(\S+)", printed, re.MULTILINE):
        plain = name.split("[")[0].rpartition("::")[2]
        found.setdefault(f"{file}::{plain}", []).append(outcome)
    return found, printed


@pytest.mark.parametrize("name", list(_tests()))
def test_of_the_project(name, outcomes):
    """See the project's own test of this name."""
    found, printed = outcomes
    assert set(found[name]) == {"PASSED"}, printed


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """Name of a test of `project/fails_*.py` -> what pytest prints of it, from the assertion on."""
    printed = _pytest(tmp_path_factory.mktemp("django") / "project", "fails_messages.py", "-k", "not locked")
    found = {}
    for name, text in re.findall(r"^_+ (test_\w+) _+$(.*?)(?=^[_=]{3,} .+ [_=]{3,}$)", printed, re.MULTILINE | re.DOTALL):
        lines = [line for line in text.splitlines() if line.startswith(("E  ", "---")) or line]
        found[name] = "\n".join(lines[lines.index(next(x for x in lines if x[:1] == ">")) :])
    return found


WAITS = """\
tell('a') waits for a commit, which the test's transaction never makes. Say when
it would be: `with django_capture_on_commit_callbacks(execute=True):` around
what registers it (in a TestCase self.captureOnCommitCallbacks); or let the test
commit: the fixture transactional_db"""


@pytest.mark.parametrize("name", ["test_enqueued", "test_ran"])
def test_what_waits_for_a_commit_is_said_where_it_is_missed(name, failures):
    """Once: with the assertion, and not again below what happened."""
    text = failures[name]
    assert "\n".join(f"E       {line}" for line in WAITS.splitlines()) in text
    assert text.count("waits for a commit") == 1


def test_what_waits_for_a_commit_is_said_with_any_failure(failures):
    """Below what happened."""
    assert failures["test_plain"].endswith(f"nothing happened\n{WAITS}")


def test_what_was_published_does_not_wait(failures):
    """pytest-django leaves a callback registered that it has called."""
    assert "commit" not in failures["test_captured"]


def test_a_worker_does_not_see_what_is_not_committed(failures):
    """The commonest error of all with a real worker."""
    assert failures["test_unseen"].endswith(
        """\
the test is inside a transaction (the fixture db, or TestCase), of which the
threads of a worker see nothing: use transactional_db, or mode 'sim', whose
tasks share the test's connection"""
    )


def test_sqlite_in_memory_is_told_apart_from_a_file(tmp_path):
    """Threads share it under locks of whole tables, for which nobody waits."""
    test = "fails_messages.py::test_locked"
    assert "OperationalError: database table is locked" in (
        printed := _pytest(tmp_path / "project", test, LIBRARY_DATABASE=":memory:")
    )
    assert (
        """\
SQLite in memory locks whole tables against the other threads, and waits for
none: give the tests a file, DATABASES['default']['TEST'] = {'NAME': BASE_DIR /
'test.sqlite3'}
"""
        in printed
    )


def test_no_access_to_the_database_is_said_in_pytest_django_s_words(failures):
    """The task's failure is not hidden by that of storing it."""
    assert 'Database access not allowed, use the "django_db" mark' in failures["test_no_access"]


def _command(project, *arguments, **environment):
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO")}
    return subprocess.run(
        [sys.executable, "-m", "pytest_celeryflow", *arguments], cwd=project,
        env=kept | environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_command_line_sets_django_up(tmp_path):
    """As `celery -A` does."""
    target = ("draw", "library.tasks:tell", "--args", '["a"]')
    done = _command(tmp_path / "project", *target, DJANGO_SETTINGS_MODULE="settings")
    assert (done.stdout, done.stderr) == ("tell('a')\n", "")


def test_the_command_line_says_what_django_needs(tmp_path):
    """Where its settings are."""
    done = _command(tmp_path / "project", "draw", "library.tasks:tell")
    assert done.returncode == 2
    assert "importing 'library.tasks' fails: ImproperlyConfigured: " in done.stderr
    assert "/library/models.py:" in done.stderr
    assert done.stderr.endswith(
        "A Django project: set DJANGO_SETTINGS_MODULE, such as proj.settings\n"
    )


def test_the_command_line_says_when_django_cannot_be_set_up(tmp_path):
    """In the words of what was raised."""
    done = _command(
        tmp_path / "project", "draw", "library.tasks:tell", DJANGO_SETTINGS_MODULE="setings"
    )
    assert done.returncode == 2
    assert "DJANGO_SETTINGS_MODULE=setings: django.setup() fails: ModuleNotFound" in done.stderr
