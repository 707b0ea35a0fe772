"""What operators can ask of the hub: its figures, and whether it is well."""

from __future__ import annotations

import platform
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Final

import anyio
import anyio.lowlevel
import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from hub import Hub, Metric, Settings, create_app
from hub.access.admission import Admission
from hub.clock import SystemClock
from hub.errors import CloseReason, RefusalReason
from hub.feed.reader import HostTicket, QueuedSubscriber
from hub.feed.view import View
from hub.sampling.own_process import ProcessTotals
from hub.web import figures
from hub.web.figures import own_figures
from hub.web.prometheus import Telemetry
from tests.support.clients import client, message, receive
from tests.support.exposition import needs_promtool, promtool, samples
from tests.support.fakes import FakeClock, FakeCollector, Listener, RecordingObserver, snapshot
from tests.support.servers import DEADLINE, PATH, serve_here, start_hub

CPU: Final = View(("cpu",))
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"


def raising() -> float:
    raise OSError(5, "Input/output error")


METRICS: Final = (
    Metric("cpu", lambda: 25.5, always=True),
    Metric("disk", raising, always=True),
    Metric("queue_depth", lambda: 7, always=True),
    Metric("busy", lambda: True, always=True),
    Metric("title", lambda: "text", always=True),
)


# What figures may be told apart by: nothing of which a client could make ever more.
LABELS: Final = frozenset(
    {
        "transport", "reason", "metric", "le", "version", "python",
        "device", "mode", "mountpoint", "sensor", "resource", "kind",
    }
)  # fmt: skip


class Bench:
    """A hub with time that a test moves, and its figures."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.hub = Hub(metrics=METRICS, clock=self.clock, collector=FakeCollector())
        self.admission = Admission(clock=self.clock)
        self.telemetry = Telemetry(self.hub, lambda: own_figures(self.hub, self.admission))

    def figures(self) -> dict[str, float]:
        """Scrape; return what was found by name and labels, as it is written."""
        body, media_type = self.telemetry.expose(OPENMETRICS)
        assert media_type.startswith("application/openmetrics-text")
        return samples(body.decode())


def test_before_the_first_sample_there_are_figures_already() -> None:
    found = Bench().figures()
    assert found["hub_clients{transport=websocket}"] == 0
    assert found["hub_refused_total{reason=host}"] == 0
    assert not [name for name in found if "_age_" in name or "tick" in name or "usage" in name]


async def test_what_the_sampler_does_is_counted() -> None:
    bench = Bench()
    async with bench.hub.lifespan():
        await bench.clock.advance(3.25)
        found = bench.figures()
        assert found["hub_ticks_total"] == 3
        assert found["hub_ticks_missed_total"] == 0
        assert found["hub_metric_failures_total{metric=disk}"] == 3
        assert found["hub_snapshot_age_seconds"] == 0.25
        assert found["hub_tick_lateness_seconds_count"] == 3
        assert found["hub_sample_duration_seconds_count"] == 3
        assert found["hub_loop_lag_seconds_count"] == 6
        await bench.clock.jump(10.0)
        found = bench.figures()
        assert found["hub_ticks_missed_total"] == 9
        assert found["hub_loop_lag_seconds_bucket{le=+Inf}"] == 7
        assert found["hub_loop_lag_seconds_bucket{le=2.5}"] == 6


async def test_numbers_of_the_machine_are_ratios_and_the_host_s_own_as_they_are() -> None:
    bench = Bench()
    async with bench.hub.lifespan():
        await bench.clock.advance(1.0)
        found = bench.figures()
    assert found["hub_cpu_usage_ratio"] == 0.255
    assert found["hub_metric_value{metric=queue_depth}"] == 7
    assert not [name for name in found if "disk_usage" in name or "busy" in name or "title" in name]


def test_what_runs_is_told_from_the_start() -> None:
    (built,) = [name for name in Bench().figures() if name.startswith("hub_build_info")]
    assert f"python={platform.python_version()}" in built
    assert f"version={metadata.version('metrics-hub')}" in built


def test_a_copy_of_the_files_that_was_not_installed_has_no_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", unknown)
    assert f"hub_build_info{{python={platform.python_version()}}}" in Bench().figures()


def test_the_process_has_the_figures_that_every_process_has() -> None:
    begun = Bench().figures()
    found = Bench().figures()
    assert time.time() - 3600 < found["process_start_time_seconds"] < time.time() + 1
    assert found["process_cpu_seconds_total"] >= begun["process_cpu_seconds_total"] > 0
    assert found["process_resident_memory_bytes"] > 0
    assert found["process_virtual_memory_bytes"] > 0
    assert found["process_open_fds"] > 0


def test_a_system_that_cannot_be_asked_for_the_process_takes_no_other_figure_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> ProcessTotals:
        raise OSError(24, "Too many open files")

    before = Bench().figures()
    monkeypatch.setattr(figures, "process_totals", refuse)
    gone = before.keys() - Bench().figures().keys()
    assert gone == {name for name in before if name.startswith("process_")}


def test_what_a_system_has_no_limit_for_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = ProcessTotals(1.0, 2.0, 3, 4, 5, None)
    monkeypatch.setattr(figures, "process_totals", lambda: totals)
    found = Bench().figures()
    assert found["process_open_fds"] == 5
    assert "process_max_fds" not in found


def test_the_machine_s_figures_are_those_of_the_newest_snapshot() -> None:
    bench = Bench()
    for number in (1, 2):
        bench.hub.publish(snapshot(number, memory_bytes={"total": 100, "free": number}))
    found = bench.figures()
    assert found["hub_memory_total_bytes"] == 100
    assert found["hub_memory_free_bytes"] == 2


def test_what_devices_have_counted_is_told_while_their_family_is_sampled() -> None:
    totals = {"eth0": {"bytes_recv": 7, "bytes_sent": 1, "packets_recv": 2, "packets_sent": 3}}
    bench = Bench()
    bench.hub.register(Metric("network", int, totals=lambda: totals))
    name = "hub_network_receive_bytes_total{device=eth0}"
    bench.hub.publish(snapshot(1))
    assert name not in bench.figures(), "they would stand still"
    bench.hub.publish(snapshot(2, network=0))
    assert bench.figures()[name] == 7


class Slow(QueuedSubscriber):
    """Has a queue of three, and no reader."""

    def __init__(self) -> None:
        super().__init__(CPU, 3, RecordingObserver(), ticket=HostTicket("slow"))


def test_frames_are_counted_of_those_who_are_there_and_of_those_who_have_left() -> None:
    bench = Bench()
    gone, here = Slow(), Slow()
    for slow in (gone, here):
        bench.hub.add(slow)
        slow.expire(1)
    for number in range(1, 6):
        bench.hub.publish(snapshot(number))
    before = bench.figures()
    gone.close(CloseReason.TOO_SLOW)
    bench.hub.remove(gone)
    after = bench.figures()
    for found in (before, after):
        assert found["hub_frames_offered_total"] == 12
        assert found["hub_frames_delivered_total"] == 0
        assert found["hub_frames_dropped_total{reason=queue_full}"] == 4
        assert found["hub_frames_dropped_total{reason=overtaken}"] == 2
    assert (before["hub_frames_pending"], after["hub_frames_pending"]) == (6, 3)
    assert before["hub_frames_dropped_total{reason=abandoned}"] == 0
    assert after["hub_frames_dropped_total{reason=abandoned}"] == 3
    assert before["hub_clients_closed_total{reason=too_slow}"] == 0
    assert after["hub_clients_closed_total{reason=too_slow}"] == 1
    assert (before["hub_clients{transport=process}"], before["hub_views"]) == (2, 1)


def test_every_reason_to_refuse_and_to_close_is_there_from_the_start() -> None:
    found = Bench().figures()
    for reason in RefusalReason:
        assert f"hub_refused_total{{reason={reason.value}}}" in found
    for close_reason in CloseReason:
        assert f"hub_clients_closed_total{{reason={close_reason.value}}}" in found


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "text/html"])
def test_who_does_not_know_openmetrics_gets_the_older_format(accept: str) -> None:
    body, media_type = Bench().telemetry.expose(accept)
    assert media_type.startswith("text/plain")
    assert all(family.documentation for family in parse_text(body.decode()))


async def test_a_scrape_samples_nothing_and_starts_nothing() -> None:
    bench = Bench()
    bench.figures()
    assert bench.clock.pending == 0
    async with bench.hub.lifespan():
        await bench.clock.advance(1.0)
        before = bench.figures()["hub_ticks_total"]
        for _ in range(10):
            bench.figures()
        assert bench.figures()["hub_ticks_total"] == before


# As promtool has it


@needs_promtool
async def test_prometheus_own_tool_has_nothing_to_say_of_the_figures() -> None:
    bench = Bench()
    async with bench.hub.lifespan():
        await bench.clock.advance(3.25)
        body, _ = bench.telemetry.expose("text/plain")
    assert b"hub_ticks_total 3.0" in body
    assert promtool(body) == ""


def lint(families: Iterable[tuple[str, str, str, Mapping[str, str]]]) -> list[str]:
    """List what is not as the conventions for metric names want it."""
    found = []
    for name, kind, text, labels in families:
        if not name.startswith(("hub_", "process_")):
            found.append(f"{name}: no prefix")
        if not text.endswith("."):
            found.append(f"{name}: no help")
        if any(unit in name for unit in ("milli", "micro", "percent", "minutes", "kilo")):
            found.append(f"{name}: no base unit")
        if kind != "counter" and name.endswith("_total"):
            found.append(f"{name}: total of what")
        if any(label in {"client", "address", "ip", "host", "port"} for label in labels):
            found.append(f"{name}: a label without bound")
    return found


async def test_the_figures_of_a_real_hub_keep_to_the_conventions() -> None:
    with start_hub() as server:
        async with client(server.url()) as websocket:
            await message(websocket)
            async with browser(server.port) as http:
                response = await http.get("/metrics", headers={"Accept": OPENMETRICS})
    assert response.headers["content-type"].startswith(OPENMETRICS)
    assert response.headers["cache-control"] == "no-store"
    assert response.text.endswith("# EOF\n")
    families = list(parse_openmetrics(response.text))  # type: ignore[no-untyped-call]
    assert "127.0.0.1" not in response.text
    labels = {name: "" for one in families for sample in one.samples for name in sample.labels}
    assert labels.keys() >= {"transport", "reason", "le", "version", "python"}
    assert labels.keys() <= LABELS
    assert lint((one.name, one.type, one.documentation, labels) for one in families) == []
    found = samples(response.text)
    assert found["hub_clients{transport=websocket}"] == 1
    assert found["hub_frames_delivered_total"] >= 1
    assert 0 < found["hub_memory_usage_ratio"] < 1
    assert found["hub_history_seconds"] >= 0
    assert found["hub_history_size_bytes"] > 0
    units = {one.name: one.unit for one in families if one.unit}
    assert all(name.endswith(f"_{unit}") for name, unit in units.items())


@asynccontextmanager
async def browser(port: int) -> AsyncIterator[httpx2.AsyncClient]:
    url = f"http://127.0.0.1:{port}"
    with anyio.fail_after(2 * DEADLINE):
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE) as http:
            yield http


# Health


async def test_a_hub_is_ready_from_its_first_sample_until_it_is_too_old() -> None:
    bench = Bench()
    assert bench.hub.unready() == "starting"
    async with bench.hub.lifespan():
        await bench.clock.advance(0.9)
        assert bench.hub.unready() == "starting"
        await bench.clock.advance(0.1)
        assert bench.hub.unready() is None
    await bench.clock.advance(3.0)
    assert bench.hub.unready() is None
    await bench.clock.advance(0.5)
    assert bench.hub.unready() == "the newest sample is 3.5 s old"


async def test_health_is_told_under_any_name_and_asking_starts_a_mounted_hub() -> None:
    app = create_app(Settings(interval=0.1))
    async with serve_here(app) as server, browser(server.port) as http:
        with anyio.fail_after(DEADLINE):
            while (ready := await http.get("/readyz", headers={"Host": "10.1.2.3"})).is_error:
                assert (ready.status_code, ready.text) == (503, "not ready: starting\n")
                await anyio.lowlevel.checkpoint()
        assert ready.text == "ready\n"
        alive = await http.get("/livez", headers={"Host": "10.1.2.3", "Origin": "null"})
        assert (alive.status_code, alive.text) == (200, "ok\n")
        assert alive.headers["cache-control"] == "no-store"
        assert (await http.head("/livez")).status_code == 200


# Draining


async def test_clients_are_sent_away_evenly_over_the_time_that_is_given() -> None:
    clock = FakeClock()
    hub = Hub(metrics=METRICS, clock=clock, collector=FakeCollector())
    listeners = [Listener(CPU) for _ in range(10)]
    for listener in listeners:
        hub.add(listener)
    async with anyio.create_task_group() as group:
        group.start_soon(hub.drain, CloseReason.RESTART, 5.0)
        for closed in range(1, 11):
            await clock.advance(0.0)
            assert sum(one.close_reason is CloseReason.RESTART for one in listeners) == closed
            assert hub.unready() == "draining"
            await clock.advance(0.5)


async def test_a_drain_that_is_cut_short_sends_all_away_at_once() -> None:
    clock = FakeClock()
    hub = Hub(metrics=METRICS, clock=clock, collector=FakeCollector())
    listeners = [Listener(CPU) for _ in range(10)]
    for listener in listeners:
        hub.add(listener)
    async with anyio.create_task_group() as group:
        group.start_soon(hub.drain, CloseReason.RESTART, 60.0)
        await clock.advance(1.0)
        assert [one.close_reason for one in listeners].count(None) == 9
        group.cancel_scope.cancel()
    assert all(one.close_reason is CloseReason.RESTART for one in listeners)


async def test_a_drained_hub_serves_again_once_it_is_started_anew() -> None:
    hub = Hub(Settings(interval=0.1), clock=SystemClock())
    async with hub.lifespan():
        await hub.drain(CloseReason.RESTART)
    async with hub.lifespan(), hub.subscribe() as frames:
        assert (await anext(frames)).text
    hub.publish(snapshot())
    assert hub.unready() is None


async def test_while_clients_are_sent_away_others_are_told_so() -> None:
    with start_hub("--drain-seconds", "60") as server:
        async with client(server.url()) as one, client(server.url()) as two:
            await receive(one)
            await receive(two)
            server.process.terminate()
            await server.logged("Hub stopping")
            async with browser(server.port) as http:
                assert (await http.get("/readyz")).text == "not ready: draining\n"
                assert (await http.get(f"{PATH}/stream")).status_code == 503
                assert (await http.get("/livez")).status_code == 200
            server.process.terminate()  # there is no time
            assert await server.ended() == 0


# In which format


@given(
    st.lists(
        st.sampled_from(
            (
                "application/openmetrics-text", "text/plain", "*/*", ";", ",", " ", "version=", "=",
                "1.0.0", "0.0.4", "x.y", "1..2", "9" * 40, "q=0.5", "escaping=", "allow-utf-8",
                "\u00e9", "version", "charset=utf-8", "-1.0", "1.0.0.0.0", "\t",
            )
        ),
        max_size=9,
    ).map("".join)
)  # fmt: skip
@example("application/openmetrics-text;version=x.y")
@example("text/plain;version=x.y")
def test_any_wish_for_a_format_is_answered_in_one(accept: str) -> None:
    body, media_type = Bench().telemetry.expose(accept)
    assert b"hub_clients" in body
    assert media_type.startswith(("text/plain", "application/openmetrics-text"))
    media_type.encode("latin-1")


def test_prometheus_gets_the_format_that_it_wishes_for() -> None:
    _, media_type = Bench().telemetry.expose(
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.2"
    )
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
