"""`run_process`: how it begins and ends, and what can be done to its workers meanwhile."""

import gc
import json
import os
import re
import select
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from celery import Celery, chain, chord, group

from pytest_celeryflow import CeleryflowError, run_process, simulate
from pytest_celeryflow.history import Opaque
from pytest_celeryflow.process.values import packed
from tests import services
from tests.conformance.normal import differences, tell
from tests.conformance.tasks import app as conformance_app
from tests.conformance.workflow import BEFORE_57
from tests.conformance.workflows import WORKFLOWS
from tests.process import app as t
from tests.process.waiting import began, wait

pytestmark = [
    pytest.mark.slow,
    # 5.7 announces a change of what an errback on a chord means.
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
    # What Celery warns of when a hook or an errback fails (5.4).
    pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning"),
]

APP = "tests.process.app:app"


def test_the_history_is_that_of_the_simulation(url):
    """The same events for each task, with the same details, ids and times left out."""

    def canvas():
        return chord([t.add.s(1, 1), t.flaky.s(1)], t.total.s())

    def told(run):
        return sorted(
            (e.kind, e.label.partition("#")[0], repr(e.details.get("args")), e.details.get("queue"))
            for e in run.history
        )

    with run_process(APP, broker=url, backend=url) as flow:
        run = flow.run(canvas())
    with simulate(t.app, broker="redis", backend="redis") as sim:
        simulated = sim.run(canvas())
    assert told(run) == told(simulated)
    assert run.value == simulated.value == 3


def test_a_stub_takes_the_place_of_the_body_in_the_worker(url):
    with run_process(APP, broker=url, backend=url) as flow:
        stub = flow.stub(t.fail).raises(t.Refused(7, "busy")).then.returns(["paid"])
        first, second = flow.run(t.fail.s(1)), flow.run(chain(t.fail.s(2), t.pair.s()))
        assert (first.error.code, first.error.why) == (7, "busy")
        assert second.value["given"] == ["paid"]
        assert stub.calls == [((1,), {}), ((2,), {})]


def test_an_app_object_is_found_by_its_path(url):
    with run_process(t.app, broker=url, backend=url) as flow:
        assert flow.run(t.add.s(1, 2)).value == 3


def test_an_app_that_no_other_process_can_import_is_refused_in_words():
    with (
        Celery("fresh", set_as_current=False) as fresh,
        pytest.raises(ValueError, match="a worker is another process, and cannot import this app"),
        run_process(fresh),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("tests.process.nowhere:app", "leads to no app: ModuleNotFoundError"),
        ("tests.process.app:add", "is not a Celery app"),
        ("tests.process.app:missing", "has no 'missing'; apps in it are: app"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path, said):
    with pytest.raises(ValueError, match=said), run_process(path):
        raise AssertionError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "workers=0 must be a whole number"),
        ({"broker": "memory"}, "broker='memory' is not one of 'redis', 'rabbitmq'"),
        ({"backend": "rpc://"}, "backend='rpc://' is not one of 'redis'"),
        ({"config": {"beat_schedule": {1: {2}}}}, "'beat_schedule' is .* cannot be handed to another"),
    ],
)
def test_arguments_are_checked_before_anything_starts(options, said):
    with pytest.raises(ValueError, match=said), run_process(APP, **options):
        raise AssertionError


def test_the_app_is_given_back_as_it_was(url):
    before = dict(t.app.conf.changes), t.app.conf.broker_url, dict(t.app.__dict__)
    with run_process(APP, broker=url, backend=url):
        assert t.app.conf.broker_url != before[1]
    assert (dict(t.app.conf.changes), t.app.conf.broker_url) == before[:2]
    assert t.app.__dict__.keys() == before[2].keys()


def test_a_worker_that_does_not_come_up_is_an_error_with_its_output(url):
    with (
        pytest.raises(CeleryflowError, match=r"ended at once; its output:[\s\S]*no_such_module"),
        run_process(APP, broker=url, backend=url, config={"imports": ["no_such_module"]}),
    ):
        raise AssertionError


def test_config_is_the_workers_too(url):
    config = {"task_soft_time_limit": 0.3}
    with run_process(APP, broker=url, backend=url, config=config) as flow:
        run = flow.run(t.patient.s(30))
    assert run.value == "cleaned up"
    assert [(e.details["limit"], e.details["seconds"]) for e in run.history.only("timeout")] == [
        ("soft", 0.3)
    ]


def test_a_killed_worker_loses_what_it_ran_and_can_be_started_again(url):
    with run_process(APP, broker=url, backend=url, timeout=15) as flow:
        first = flow.worker.pid
        running = t.sleep.delay(60)
        began(flow, running.id)
        flow.worker.kill()
        assert flow.worker.state == "down"
        (execution,) = (e for e in flow.history.executions() if e.id == running.id)
        assert execution.state == "LOST"
        with pytest.raises(CeleryflowError, match="does not run; start"):
            flow.worker.kill()
        flow.worker.start()
        assert flow.worker.pid != first
        assert flow.run(t.add.s(1, 1)).value == 2


def test_a_stopped_worker_can_be_started_again(url):
    """A warm shutdown; what is published meanwhile waits, and the run says why."""
    with run_process(APP, broker=url, backend=url) as flow:
        flow.worker.stop()
        run = flow.run(t.add.s(1, 1), timeout=5)
        assert "no worker is left" in run.verdict.hung
        assert "worker w1 is down: it was stopped" in run.verdict.hung
        flow.worker.start()
        flow.drain()
        assert run.result.get(timeout=10) == 2


def test_a_paused_worker_does_nothing_until_it_is_resumed(url):
    with run_process(APP, broker=url, backend=url) as flow:
        flow.worker.pause()
        run = flow.run(t.add.s(1, 1), timeout=0.5)
        assert "worker w1 is paused" in run.verdict.hung
        flow.worker.resume()
        flow.drain()
        assert run.result.get(timeout=10) == 2


def test_several_workers_share_the_work(url):
    with run_process(APP, broker=url, backend=url, workers=2, concurrency=1) as flow:
        assert [worker.name for worker in flow.workers] == ["w1", "w2"]
        run = flow.run(group(t.sleep.s(0.4) for _ in range(4)))
        assert {e.worker for e in run.executions} == {"w1", "w2"}
        flow.workers[0].kill()
        assert flow.run(t.add.s(1, 1)).executions[0].worker == "w2"


def test_a_worker_that_ends_by_itself_is_no_mystery(url):
    with run_process(APP, broker=url, backend=url) as flow:
        flow.worker.kill(signal.SIGQUIT)
        wait(flow, lambda: flow.worker.state == "down")
        run = flow.run(t.add.s(1, 1), timeout=5)
        assert "worker w1 is down: it ended by itself" in run.verdict.hung


def test_other_modes_have_no_worker_processes(app):
    with (
        simulate(app) as flow,
        pytest.raises(CeleryflowError, match="mode 'sim' has no worker processes"),
    ):
        flow.worker.kill()


def processes():
    """Processes whose parent is this one or that run a worker of ours."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        if b"pytest_celeryflow.process.boot" in command:
            found[directory.name] = command
    return found


def test_nothing_is_left_behind(url):
    """No process, no key, no descriptor."""
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(url) as client:
        client.set("somebody-else", "1")
        for _ in range(2):
            with run_process(APP, broker=url, backend=url):
                pass
        gc.collect()
        keys = set(client.keys())
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        with run_process(APP, broker=url, backend=url) as flow:
            pids = {flow.worker.pid, *flow.worker.pids}
            flow.run(t.add.s(1, 1))
            t.sleep.delay(60)
            t.add.apply_async((1, 1), countdown=60)
        assert set(client.keys()) == keys
        client.delete("somebody-else")
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
    assert not pids & {int(pid) for pid in processes()}


KILLED = """
import os, signal
from pytest_celeryflow import run_process

def test_it():
    with run_process("tests.process.app:app", broker={url!r}, backend={url!r}) as flow:
        print("PIDS", flow.worker.pid, *flow.worker.pids, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_do_not_outlive_a_killed_pytest(pytester, url):
    pytester.makepyfile(KILLED.format(url=url))
    result = pytester.runpytest_subprocess("-s", "-p", "no:cacheprovider")
    (line,) = [line for line in result.outlines if "PIDS" in line]
    for pid in map(int, line.partition("PIDS")[2].split()):
        assert_gone(pid)


def assert_gone(pid):
    """Wait for the end of a process that is not ours."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 10)[0], f"{pid} lives"
    finally:
        os.close(handle)


def test_on_rabbitmq(url):
    """Names of its own there, and nothing left."""
    with run_process(APP, broker=services.rabbitmq_url(), backend=url) as flow:
        run = flow.run(chord([t.add.s(1, 1), t.flaky.s(1)], t.total.s()))
        assert run.value == 3
        assert run.history.only("published")[0].details["queue"] == "celery"
        assert flow.run(t.fussy.s(1)).value == 1
        assert flow.run(t.add.s(1, 1).set(queue="elsewhere")).value == 2


#: Celery 5.4 promises no order of what a group returns that replaced a task in a header.
UNORDERED = {"replace by a group in a chord"} if BEFORE_57 else set()


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_workflows_of_the_conformance_list_come_to_the_same(broker, url):
    """What came of each task, as the simulation tells it; one worker for all of them.

    With one process in its pool: an attempt that is retried at once in another process can
    end before the RETRY of the one before is stored.
    """
    where = url if broker == "redis" else services.rabbitmq_url()
    listed = [
        w
        for w in WORKFLOWS
        if w.concurrency == 1 and not (w.config or w.instead or w.needs) and w.name not in UNORDERED
    ]
    assert len(listed) > 100
    with run_process(conformance_app, concurrency=1, broker=where, backend=url, timeout=10) as flow:
        real = {w.name: tell(flow, w.canvas(), w.loose) for w in listed}
    differ = {}
    for w in listed:
        with simulate(conformance_app, concurrency=1, broker=broker, backend="redis") as flow:
            simulated = tell(flow, w.canvas(), w.loose)
        if found := differences("process", unnumbered(real[w.name]), "sim", unnumbered(simulated)):
            differ[w.name] = found
    assert not differ, "\n".join(f"{name}: {found}" for name, found in differ.items())


def unnumbered(told):
    """Labels count on from workflow to workflow."""
    blank = Counter()
    for story, times in told.stories.items():
        blank[replace(story, args=re.sub(r"#\d+", "#n", story.args))] += times
    return replace(told, stories=blank)


def test_values_that_pickle_refuses_arrive_as_their_text():
    assert packed({"a": [1, lambda: 1]}).value()["a"][0] == 1
    assert isinstance(packed({"a": [1, lambda: 1]}).value()["a"][1], Opaque)
    assert json.dumps(packed((1, "x")).value()) == '[1, "x"]'
