"""The collecting threads. They are real; what hangs, hangs on an event of the test's."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue

import anyio
import anyio.lowlevel
import pytest

from hub import Hub, Metric
from hub.sampling.collector import ThreadCollector
from hub.sampling.metric import Kind, OneByOne
from hub.sampling.snapshot import CounterDelta, DeviceDeltas, Failure, Incomplete
from hub.sampling.worker import Job
from tests.support.fakes import FakeClock, settle

TIMEOUT = 0.5
LATE = Failure("no answer within 0.5 s")


class Gate:
    """A collector that hangs until it is opened."""

    def __init__(self, value: object = 7) -> None:
        self.calls = 0
        self.entered = threading.Event()
        self._value = value
        self._open = threading.Event()

    def __call__(self) -> object:
        self.calls += 1
        self.entered.set()
        assert self._open.wait(10)
        return self._value

    def open(self) -> None:
        self._open.set()


@contextmanager
def hanging(value: object = 7) -> Iterator[Gate]:
    gate = Gate(value)
    try:
        yield gate
    finally:
        gate.open()


def samplers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "hub-sampler"}


def primed_metric() -> tuple[Metric, list[str]]:
    """Make a metric that measures since the last call, and the list of the calls to it."""
    calls: list[str] = []

    def collect() -> float:
        calls.append("collect")
        return 1.0

    return Metric("cpu", collect, lambda: calls.append("prime")), calls


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def collector(clock: FakeClock) -> AsyncIterator[ThreadCollector]:
    collector = ThreadCollector(timeout=TIMEOUT, clock=clock)
    yield collector
    collector.close()


async def collect_late(
    collector: ThreadCollector,
    clock: FakeClock,
    metrics: list[Metric],
    gate: Gate,
    seconds: float = TIMEOUT,
) -> dict[str, object]:
    """Collect while ``gate`` hangs: once it does, let the timeout run out."""
    found: dict[str, object] = {}

    async def run() -> None:
        found.update(await collector.collect(metrics))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await anyio.to_thread.run_sync(gate.entered.wait, 10)
        await clock.advance(seconds)
    return found


async def test_every_metric_is_read_once_in_one_thread_that_is_a_daemon(
    collector: ThreadCollector,
) -> None:
    threads: list[threading.Thread] = []

    def note() -> int:
        threads.append(threading.current_thread())
        return len(threads)

    assert await collector.collect([Metric("a", note), Metric("b", note)]) == {"a": 1, "b": 2}
    assert await collector.collect([Metric("a", note)]) == {"a": 3}
    assert len(set(threads)) == 1
    assert threads[0].daemon
    assert threads[0] is not threading.main_thread()


async def test_a_metric_that_needs_priming_has_no_reading_until_the_next_time(
    collector: ThreadCollector,
) -> None:
    metric, calls = primed_metric()
    assert await collector.collect([metric]) == {}
    assert await collector.collect([metric]) == {"cpu": 1.0}
    assert calls == ["prime", "collect"]


async def test_a_metric_is_primed_anew_after_a_pause(collector: ThreadCollector) -> None:
    metric, calls = primed_metric()
    other = Metric("other", lambda: 2)
    for metrics in ([metric], [metric], [other], [metric], [metric]):
        await collector.collect(metrics)
    assert calls == ["prime", "collect", "prime", "collect"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), SystemExit("gone"), Exception])
async def test_whatever_is_raised_is_that_metrics_failure_alone(
    collector: ThreadCollector, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    found = await collector.collect([Metric("bad", fail), Metric("good", lambda: 1)])
    assert isinstance(found["bad"], Failure)
    assert found["good"] == 1
    assert (await collector.collect([Metric("good", lambda: 2)])) == {"good": 2}


async def test_no_value_is_a_failure(collector: ThreadCollector) -> None:
    assert await collector.collect([Metric("bad", lambda: None)]) == {"bad": Failure("no value")}


async def test_priming_that_fails_is_a_failure_and_is_tried_again(
    collector: ThreadCollector,
) -> None:
    tries: list[int] = []

    def prime() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OSError(5, "Input/output error")

    metric = Metric("cpu", lambda: 1.0, prime)
    assert await collector.collect([metric]) == {"cpu": Failure("Input/output error")}
    assert await collector.collect([metric]) == {}
    assert await collector.collect([metric]) == {"cpu": 1.0}


async def test_a_metric_that_hangs_is_late_and_the_others_are_read_in_the_same_tick(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    with hanging() as gate:
        metrics = [Metric("a", lambda: 1), Metric("disk", gate), Metric("z", lambda: 26)]
        assert await collect_late(collector, clock, metrics, gate) == {
            "a": 1,
            "disk": LATE,
            "z": 26,
        }


async def test_a_metric_that_hangs_is_not_collected_again_and_delays_no_other(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    with hanging() as gate:
        metrics = [Metric("disk", gate), Metric("z", lambda: 26)]
        await collect_late(collector, clock, metrics, gate)
        for _ in range(3):
            assert await collector.collect(metrics) == {"disk": LATE, "z": 26}
        assert gate.calls == 1


async def test_a_metric_that_has_recovered_is_collected_again(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    threads = samplers()
    with hanging() as gate:
        metrics = [Metric("disk", gate)]
        await collect_late(collector, clock, metrics, gate)
        (stuck,) = samplers() - threads
        gate.open()
        await anyio.to_thread.run_sync(stuck.join, 10)
        assert await collector.collect(metrics) == {"disk": 7}
        assert gate.calls == 2


async def test_what_was_primed_stays_so_in_the_thread_that_takes_over(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    """Before the one that hangs and after it: neither loses a tick."""
    primed: list[str] = []
    first = Metric("first", lambda: 1.0, lambda: primed.append("first"))
    last = Metric("last", lambda: 2.0, lambda: primed.append("last"))
    with hanging() as gate:
        metrics = [first, Metric("disk", gate), last]
        await collector.collect([first, last])
        expected = {"first": 1.0, "disk": LATE, "last": 2.0}
        assert await collect_late(collector, clock, metrics, gate) == expected
        assert await collector.collect(metrics) == expected
    assert primed == ["first", "last"]


async def test_a_metric_that_is_late_again_and_again_holds_up_one_tick(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    gates = [Gate() for _ in range(4)]
    left = iter(gates)
    slow, start = Metric("slow", lambda: next(left)()), clock.monotonic()  # noqa: PLW0108 # each
    for number, gate in enumerate(gates):
        seconds = 0.05 if number else TIMEOUT
        assert await collect_late(collector, clock, [slow], gate, seconds) == {"slow": LATE}
        await clock.advance(TIMEOUT)  # so that it did take too long
        gate.open()
        await _until(lambda: not collector._hung["slow", None].busy)
    assert clock.monotonic() - start == pytest.approx(5 * TIMEOUT + 3 * 0.05)


async def test_several_that_were_late_hold_up_a_tick_no_longer_than_one(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    names = ("a", "b", "c")
    collector._slow.update({(name, None): Job(Metric(name, int)) for name in names})
    found: dict[str, object] = {}

    async def run(metrics: list[Metric]) -> None:
        found.update(await collector.collect(metrics))

    with hanging() as first, hanging() as second, hanging() as third:
        gates = (first, second, third)
        start = clock.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(run, [Metric(*one) for one in zip(names, gates, strict=True)])
            for gate in gates:
                await anyio.to_thread.run_sync(gate.entered.wait, 10)
            await clock.advance(0.05)
            with anyio.fail_after(10):
                while len(found) < len(names):
                    await clock.advance(0)
        assert clock.monotonic() - start == pytest.approx(0.05)
    assert found == dict.fromkeys(names, LATE)


async def test_a_metric_that_was_late_is_read_with_the_others_once_it_is_in_time(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    threads: list[threading.Thread] = []

    def note() -> int:
        threads.append(threading.current_thread())
        return 1

    with hanging() as gate:
        await collect_late(collector, clock, [Metric("slow", gate)], gate)
        gate.open()
        await _until(lambda: not collector._hung["slow", None].busy)
    metrics = [Metric("slow", note), Metric("z", note)]
    for _ in range(2):
        assert await collector.collect(metrics) == {"slow": 1, "z": 1}
    assert threads[0] is not threads[1]
    assert threads[2] is threads[3]


async def test_a_metric_that_was_late_is_not_entered_twice_where_collecting_is_cancelled(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    with hanging() as gate:
        await collect_late(collector, clock, [Metric("slow", gate)], gate)
        gate.open()
        await _until(lambda: not collector._hung["slow", None].busy)
    with hanging() as gate:
        metrics = [Metric("slow", gate)]
        async with anyio.create_task_group() as group:
            group.start_soon(collector.collect, metrics)
            await anyio.to_thread.run_sync(gate.entered.wait, 10)
            group.cancel_scope.cancel()
        assert await collector.collect(metrics) == {"slow": LATE}
        assert gate.calls == 1


async def _until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not holds():
            await anyio.lowlevel.checkpoint()


async def test_several_that_hang_share_less_than_two_timeouts(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    found: dict[str, object] = {}

    async def run(metrics: list[Metric]) -> None:
        found.update(await collector.collect(metrics))

    with hanging() as first, hanging() as second:
        start = clock.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(run, [Metric("a", first), Metric("b", second), Metric("c", int)])
            for gate, timeout in ((first, TIMEOUT), (second, TIMEOUT / 2)):
                await anyio.to_thread.run_sync(gate.entered.wait, 10)
                await clock.advance(timeout)
        assert clock.monotonic() - start < 2 * TIMEOUT
    assert found == {"a": LATE, "b": LATE, "c": 0}


async def test_a_machine_without_threads_left_fails_every_metric(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    collector = ThreadCollector(timeout=TIMEOUT, clock=clock)
    found = await collector.collect([Metric("a", int), Metric("b", int)])
    assert found == dict.fromkeys("ab", Failure("can't start new thread"))
    collector.close()


async def test_no_metrics_need_no_thread(collector: ThreadCollector) -> None:
    before = threading.active_count()
    assert await collector.collect([]) == {}
    assert threading.active_count() == before


async def test_closing_ends_the_thread(clock: FakeClock) -> None:
    collector = ThreadCollector(timeout=TIMEOUT, clock=clock)
    threads = samplers()
    await collector.collect([Metric("a", int)])
    (thread,) = samplers() - threads
    collector.close()
    await anyio.to_thread.run_sync(thread.join, 10)
    assert not thread.is_alive()


def test_an_answer_that_comes_after_its_event_loop_is_gone_is_dropped() -> None:
    clock = FakeClock()
    collector = ThreadCollector(timeout=TIMEOUT, clock=clock)
    threads = samplers()

    async def leave(gate: Gate) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(collector.collect, [Metric("slow", gate)])
            await anyio.to_thread.run_sync(gate.entered.wait, 10)
            await settle()
            group.cancel_scope.cancel()

    with hanging() as gate:
        anyio.run(leave, gate)
        (thread,) = samplers() - threads
    collector.close()
    thread.join(10)
    assert not thread.is_alive()


# Metrics in the background


async def ended(thread: threading.Thread) -> None:
    await anyio.to_thread.run_sync(thread.join, 10)
    assert not thread.is_alive()


class Steps:
    """A collector that takes one step each time it is let."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._began: SimpleQueue[str] = SimpleQueue()
        self._may: SimpleQueue[object] = SimpleQueue()
        self.metric = Metric("walk", self._collect, self._prime, background=True)

    def _prime(self) -> None:
        self._step("prime")

    def _collect(self) -> object:
        return self._step("collect")

    def _step(self, name: str) -> object:
        self.calls.append(name)
        self._began.put(name)
        outcome = self._may.get(timeout=10)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def began(self) -> str:
        return await anyio.to_thread.run_sync(lambda: self._began.get(timeout=10))

    def end(self, outcome: object = None) -> None:
        self._may.put(outcome)


async def collect_until(collector: ThreadCollector, metric: Metric, wanted: object) -> None:
    """Collect until a step that has been let end is seen to have ended."""
    with anyio.fail_after(10):
        while (await collector.collect([metric])).get(metric.name) != wanted:
            await anyio.lowlevel.checkpoint()  # a thread in the background wakes no task


async def test_no_tick_waits_for_a_metric_in_the_background(collector: ThreadCollector) -> None:
    steps, other = Steps(), Metric("other", lambda: 2)
    for _ in range(3):
        assert await collector.collect([steps.metric, other]) == {"other": 2}
    assert await steps.began() == "prime"
    steps.end()
    while len(steps.calls) == 1:
        assert await collector.collect([steps.metric, other]) == {"other": 2}
        await anyio.lowlevel.checkpoint()
    for value in (1, 2):
        assert await steps.began() == "collect"
        steps.end(value)
        await collect_until(collector, steps.metric, value)
        assert await collector.collect([steps.metric, other]) == {"walk": value, "other": 2}
    steps.end()


async def test_a_failure_in_the_background_is_that_metric_s_and_is_over_when_it_is(
    collector: ThreadCollector,
) -> None:
    steps = Steps()
    outcomes: list[object] = [None, OSError(5, "Input/output error"), 3]
    for outcome in outcomes:
        steps.end(outcome)
    await collect_until(collector, steps.metric, Failure("Input/output error"))
    await collect_until(collector, steps.metric, 3)
    steps.end()


async def test_a_metric_in_the_background_that_hangs_costs_one_thread(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    before = samplers()
    with hanging() as gate:
        metric, other = Metric("walk", gate, background=True), Metric("other", lambda: 2)
        for _ in range(9):
            assert await collector.collect([metric, other]) == {"other": 2}
            await clock.advance(1)
        await clock.advance(1)
        late = Failure("no answer within 10 s")
        assert await collector.collect([metric, other]) == {"walk": late, "other": 2}
        for _ in range(3):  # asked for now and then
            assert await collector.collect([other]) == {"other": 2}
            found = await collector.collect([metric, other])
            assert isinstance(found["walk"], Failure)
        assert gate.calls == 1
        assert len(samplers() - before) == 2
    await collect_until(collector, metric, 7)


async def test_a_metric_no_longer_in_demand_releases_its_thread_and_is_primed_again(
    collector: ThreadCollector,
) -> None:
    steps, before = Steps(), samplers()
    steps.end()
    steps.end(1)
    await collect_until(collector, steps.metric, 1)
    assert await steps.began() == "prime"
    threads = samplers() - before
    assert await collector.collect([]) == {}
    steps.end()
    for thread in threads:
        await ended(thread)
    steps.end()
    steps.end(2)
    await collect_until(collector, steps.metric, 2)
    assert steps.calls[:2] == ["prime", "collect"]
    assert "prime" in steps.calls[2:]
    steps.end()


async def test_without_a_thread_a_metric_in_the_background_has_failed(
    collector: ThreadCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = Metric("walk", lambda: 1, background=True)

    def no_more(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        found = await collector.collect([metric])
    assert found == {"walk": Failure("can't start new thread")}
    await collect_until(collector, metric, 1)


# Stopped and started anew while a call still runs


async def cancel_within(collector: ThreadCollector, metrics: list[Metric], gate: Gate) -> None:
    """Begin to collect; cancel it as soon as ``gate`` hangs."""
    async with anyio.create_task_group() as group:
        group.start_soon(collector.collect, metrics)
        await anyio.to_thread.run_sync(gate.entered.wait, 10)
        await settle()
        group.cancel_scope.cancel()


@pytest.mark.parametrize("closed", [True, False])
async def test_a_call_that_outlives_its_collect_is_not_joined_by_another(
    collector: ThreadCollector,
    closed: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    threads = samplers()
    with hanging() as gate:
        metrics = [Metric("disk", gate), Metric("z", lambda: 26)]
        await cancel_within(collector, metrics, gate)
        (stuck,) = samplers() - threads
        if closed:
            collector.close()
        for _ in range(2):
            assert await collector.collect(metrics) == {"disk": LATE, "z": 26}
        assert gate.calls == 1
        gate.open()
        await ended(stuck)
        assert await collector.collect(metrics) == {"disk": 7, "z": 26}
        assert gate.calls == 2


async def test_after_a_timeout_a_close_forgets_no_call_that_hangs(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    with hanging() as gate:
        metrics = [Metric("disk", gate), Metric("z", lambda: 26)]
        await collect_late(collector, clock, metrics, gate)
        for _ in range(2):
            collector.close()
            assert await collector.collect(metrics) == {"disk": LATE, "z": 26}
        assert gate.calls == 1


async def test_a_close_forgets_no_call_in_the_background(collector: ThreadCollector) -> None:
    steps, before = Steps(), samplers()
    assert await collector.collect([steps.metric]) == {}
    assert await steps.began() == "prime"
    (stuck,) = samplers() - before
    for _ in range(2):
        collector.close()
        assert await collector.collect([steps.metric]) == {"walk": LATE}
    assert steps.calls == ["prime"]
    steps.end()
    await ended(stuck)
    steps.end()
    steps.end(1)
    await collect_until(collector, steps.metric, 1)
    steps.end()


async def test_a_close_between_two_calls_costs_no_reading(collector: ThreadCollector) -> None:
    metric, calls = primed_metric()
    other = Metric("other", lambda: 2)
    for _ in range(50):
        calls.clear()
        assert await collector.collect([metric, other]) == {"other": 2}
        assert await collector.collect([metric, other]) == {"cpu": 1.0, "other": 2}
        assert calls == ["prime", "collect"]
        collector.close()


async def test_a_thread_that_is_dismissed_enters_none_of_the_metrics_that_were_left(
    collector: ThreadCollector,
) -> None:
    entered: list[int] = []
    threads = samplers()
    with hanging() as gate:
        metrics = [Metric("disk", gate), Metric("z", lambda: entered.append(1))]
        await cancel_within(collector, metrics, gate)
        (stuck,) = samplers() - threads
        collector.close()
    await ended(stuck)
    assert entered == []


def test_a_call_that_outlives_its_event_loop_is_not_joined_by_another() -> None:
    collector = ThreadCollector(timeout=TIMEOUT, clock=FakeClock())
    threads = samplers()
    with hanging() as gate:
        metrics = [Metric("disk", gate), Metric("z", lambda: 26)]
        anyio.run(cancel_within, collector, metrics, gate)
        (stuck,) = samplers() - threads
        assert anyio.run(collector.collect, metrics) == {"disk": LATE, "z": 26}
        assert gate.calls == 1
    stuck.join(10)
    assert anyio.run(collector.collect, metrics) == {"disk": 7, "z": 26}
    collector.close()


def test_a_hub_that_is_started_again_enters_no_metric_twice_at_once() -> None:
    entered: SimpleQueue[str] = SimpleQueue()
    answer = threading.Event()

    def hang() -> int:
        entered.put("disk")
        assert answer.wait(10)
        return 7

    def note() -> int:
        entered.put("other")
        return 2

    metrics = [Metric("disk", hang, always=True), Metric("other", note, always=True)]
    hub = Hub(metrics=metrics, clock=FakeClock())

    async def first_entered() -> str:
        async with hub.lifespan():
            return await anyio.to_thread.run_sync(lambda: entered.get(timeout=10))

    before = samplers()
    assert anyio.run(first_entered) == "disk"
    (stuck,) = samplers() - before
    for _ in range(2):
        assert anyio.run(first_entered) == "other"
        for thread in samplers() - before - {stuck}:
            thread.join(10)
    answer.set()
    stuck.join(10)
    assert anyio.run(first_entered) == "disk"


# Kinds


async def test_a_rate_is_made_of_deltas_and_nothing_else_is(collector: ThreadCollector) -> None:
    delta = CounterDelta(1.0, (5,))
    deltas = DeviceDeltas(("in_per_second",), "interfaces", delta, {"eth\udce9": delta})
    metrics = [
        Metric("network", lambda: deltas, kind=Kind.RATE),
        Metric("odd", lambda: 5, kind=Kind.RATE),
        Metric("gauge", lambda: deltas),
    ]
    assert await collector.collect(metrics) == {
        "network": DeviceDeltas(deltas.names, deltas.group, delta, {"eth\\xe9": delta}),
        "odd": Failure("a int is not a DeviceDeltas"),
        "gauge": Failure("a DeviceDeltas is not a JSON value"),
    }


# Members that are read one by one


def one_by_one(**members: Callable[[], object]) -> Metric:
    return Metric("disks", lambda: OneByOne(members))


async def test_members_are_read_one_by_one_and_who_fails_is_left_out_and_named(
    collector: ThreadCollector,
) -> None:
    def fail() -> float:
        raise OSError(5, "Input/output error", "/mnt")

    metric = one_by_one(a=lambda: 1.0, b=fail, c=lambda: None)
    assert await collector.collect([metric]) == {
        "disks": Incomplete({"a": 1.0}, {"b": Failure("Input/output error: /mnt")})
    }
    assert await collector.collect([one_by_one(b=fail)]) == {
        "disks": Failure("b: Input/output error: /mnt")
    }
    assert await collector.collect([one_by_one(c=lambda: None)]) == {"disks": {}}


async def test_a_member_that_hangs_is_late_and_the_others_are_read_in_the_same_tick(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    calls: list[str] = []

    def note() -> float:
        calls.append("note")
        return 1.0

    with hanging(5.0) as gate:
        metrics = [one_by_one(a=note, b=gate, c=note), Metric("z", lambda: 7)]
        late = Incomplete({"a": 1.0, "c": 1.0}, {"b": LATE})
        assert await collect_late(collector, clock, metrics, gate) == {"disks": late, "z": 7}
        assert calls == ["note", "note"], "each once"
        # While it hangs it is not asked again, and delays no one.
        assert await collector.collect(metrics) == {"disks": late, "z": 7}
        assert gate.calls == 1
        gate.open()
        await _until(lambda: not collector._hung["disks", "b"].busy)
        assert await collector.collect(metrics) == {
            "disks": {"a": 1.0, "b": 5.0, "c": 1.0}, "z": 7,
        }  # fmt: skip


async def test_a_slow_member_that_is_gone_is_no_failure(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    with hanging() as gate:
        await collect_late(collector, clock, [one_by_one(a=lambda: 1, b=gate)], gate)
        assert await collector.collect([one_by_one(a=lambda: 1)]) == {"disks": {"a": 1}}


async def test_a_list_of_members_that_hangs_is_a_metric_that_does(
    collector: ThreadCollector, clock: FakeClock
) -> None:
    with hanging(OneByOne({"a": lambda: 1})) as gate:
        found = await collect_late(collector, clock, [Metric("disks", gate)], gate)
        assert found == {"disks": LATE}
        gate.open()
        await _until(lambda: not collector._hung["disks", None].busy)
    assert await collector.collect([one_by_one(a=lambda: 1)]) == {"disks": {"a": 1}}


async def test_of_very_many_members_the_rest_is_not_even_read(collector: ThreadCollector) -> None:
    members = {f"m{number}": lambda: 1 for number in range(70)}
    reading = (await collector.collect([one_by_one(**members)]))["disks"]
    assert isinstance(reading, Incomplete)
    assert reading.failures == {"other": Failure("6 more than 64 are left out")}


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ({1: int}, "a int is not a JSON key"),
        (None, "'NoneType' object is not iterable"),
        (["a"], "'list' object has no attribute 'items'"),
    ],
)
async def test_members_that_are_none_fail_their_metric_and_no_other(
    collector: ThreadCollector, members: object, cause: str
) -> None:
    metric = Metric("odd", lambda: OneByOne(members))  # type: ignore[arg-type] # on purpose
    found = await collector.collect([metric, Metric("z", lambda: 26)])
    assert found == {"odd": Failure(cause), "z": 26}


async def test_members_can_be_read_in_the_background(collector: ThreadCollector) -> None:
    metric = replace(one_by_one(a=lambda: 1), background=True)
    await collect_until(collector, metric, {"a": 1})
