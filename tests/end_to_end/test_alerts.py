"""The figures of a hub, the alerts that the documents make of them, and whether these can fire.

The series that the rules are tested with are those of a real scrape, with its labels.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx2
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Sample

from tests.support.documents import DOCS, column, named, prose, snippet, table
from tests.support.exposition import needs_promtool, run_promtool
from tests.support.servers import DEADLINE, ServerProcess, start_hub

OPERATING: Final = DOCS / "operating.md"
RULES: Final = snippet("yaml", "groups:")
RULE: Final = re.compile(
    r"- alert: (\w+)\n +expr: (.+)\n(?: +for: \w+\n)? +annotations:\n +summary: (.+)\n"
)
JOB: Final = {"job": "metrics-hub", "instance": "127.0.0.1:54112"}
UP: Final = "up"

LATE: Final = (
    "hub_metric_failures_total", "hub_worker_clients", "hub_cpu_seconds_total",
    "hub_disk_writes_completed_total", "hub_network_receive_bytes_total",
)  # fmt: skip
"""What a hub has only after some ticks."""

INTERVAL: Final = 15
"""Seconds from scrape to scrape."""

FIRING: Final[Mapping[str, Mapping[str, str]]] = {
    "HubDown": {UP: "0x60"},
    "HubSamplingStopped": {"hub_snapshot_age_seconds": "1+15x60"},
    "HubTicksMissed": {"hub_ticks_missed_total": "0x30 4x30"},
    "HubMetricFails": {'hub_metric_failures_total{metric="disk"}': "0+3x60"},
    "HubLoopLate": {
        f'hub_loop_lag_seconds_bucket{{le="{bound}"}}': "0+30x60"
        for bound in ("0.5", "1.0", "2.5", "+Inf")
    },
    "HubNearlyFull": {'hub_clients{transport="websocket"}': "901x60"},
    "HubClientsTooSlow": {'hub_clients_closed_total{reason="too_slow"}': "0x30 12x30"},
    "HubRefusesMany": {'hub_refused_total{reason="token"}': "0+17x60"},
}
"""What becomes of some series, for each alert to fire; of all others, see ``QUIET``."""

NEARLY: Final[Mapping[str, Mapping[str, str]]] = {
    "HubDown": {UP: "1x37 0x2 1x21"},
    "HubSamplingStopped": {"hub_snapshot_age_seconds": "5x60"},
    "HubTicksMissed": {"hub_ticks_missed_total": "0x30 2x30"},
    "HubMetricFails": {'hub_metric_failures_total{metric="disk"}': "0+1x60"},
    "HubLoopLate": {
        f'hub_loop_lag_seconds_bucket{{le="{bound}"}}': "0+30x60"
        for bound in ("0.25", "0.5", "1.0", "2.5", "+Inf")
    },
    "HubNearlyFull": {
        'hub_clients{transport="websocket"}': "890x60",
        'hub_clients{transport="process"}': "5000x60",
    },
    "HubClientsTooSlow": {'hub_clients_closed_total{reason="restart"}': "0x30 5000x30"},
    "HubRefusesMany": {
        'hub_refused_total{reason="parameter"}': "0+1000x60",
        'hub_refused_total{reason="token"}': "0+14x60",
    },
}
"""The same where it almost fires, or where it must not."""

QUIET: Final = {
    UP: "1x60",
    "hub_snapshot_age_seconds": "1x60",
    "hub_ticks_total": "0+15x60",
    "hub_clients_limit": "1000x60",
}
"""What does not stay 0 of a hub with which all is well."""


@pytest.fixture(scope="module")
def hub() -> Iterator[ServerProcess]:
    workers = ("--workers", "2") if os.name == "posix" else ()
    with start_hub("--disk-path", "/nowhere", *workers) as server:
        server.log.wait_for("Error collecting metrics: disk")
        yield server


@pytest.fixture(scope="module")
def scraped(hub: ServerProcess) -> list[Sample]:
    """Return what a hub of two workers tells, one of whose metrics fails, so that it tells all."""
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    url = f"http://127.0.0.1:{hub.port}/metrics"
    text, end = "", time.monotonic() + DEADLINE
    # What a worker has been told of all together is some seconds old.
    while not all(f"{one}{{" in text for one in LATE) and time.monotonic() < end:
        time.sleep(0.1)
        text = httpx2.get(url, headers=accept, trust_env=False).text
    return [sample for family in parse(text) for sample in family.samples]  # type: ignore[no-untyped-call]


def written(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


# The figures


def test_every_figure_is_in_the_documents_with_its_labels(scraped: list[Sample]) -> None:
    shown = {
        name: set(named(row[1]))
        for row in table(OPERATING, "figure", "labels", "meaning")
        for name in named(row[0])
    }
    found: dict[str, set[str]] = {}
    for sample in scraped:
        name = re.sub(r"_(bucket|count|sum|created)$", "", sample.name)
        found.setdefault(name, set()).update(sample.labels.keys() - {"le"})
    not_here = {
        "hub_disk_usage_ratio", "hub_metric_value", "hub_temperature_celsius", "hub_load1",
        "hub_load5", "hub_load15", "hub_pressure_ratio",
    }  # fmt: skip
    assert found.items() <= shown.items()
    missing = {name for name in shown.keys() - found.keys() if "_container_" not in name}
    assert missing <= not_here, "they depend on the machine"


def test_figures_that_are_named_elsewhere_exist() -> None:
    shown = column(table(OPERATING, "figure", "labels", "meaning"))
    elsewhere = re.findall(r"\bhub_[a-z_]+", RULES)
    for path in DOCS.iterdir():
        elsewhere += [n for n in named(prose(path)) if re.fullmatch(r"hub_[a-z0-9_]+", n)]
    assert {re.sub(r"_bucket$", "", name) for name in elsewhere} <= set(shown)


# The alerts


def summaries() -> dict[str, str]:
    return {name: summary for name, _, summary in RULE.findall(RULES)}


def test_every_alert_is_tested() -> None:
    names = re.findall(r"- alert: (\w+)", RULES)
    assert names == list(FIRING) == list(NEARLY) == list(summaries())


def try_rules(
    directory: Path, scraped: list[Sample], series: Mapping[str, str], fires: Mapping[str, object]
) -> None:
    """Have Prometheus apply the rules to series, and expect alerts at the eighth minute.

    Args:
        directory: where to write the rules and their test.
        scraped: the series that there are.
        series: what becomes of some of them; those that there are not may not be among them.
        fires: the labels of each alert that is expected, by its name.
    """
    known = {written(one.name, one.labels) for one in scraped} | {UP}
    known = {name for name in known if name.startswith("hub_") or name == UP}
    values = {**QUIET, **series}
    assert values.keys() <= known
    given = [
        {"series": labelled(name), "values": values.get(name, "0x60")} for name in sorted(known)
    ]
    expected = [
        {
            "eval_time": "8m",
            "alertname": name,
            "exp_alerts": [
                {"exp_labels": {**JOB, **labels}, "exp_annotations": {"summary": summary}}
                for labels in [fires.get(name)]
                if isinstance(labels, dict)
            ],
        }
        for name, summary in summaries().items()
    ]
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{INTERVAL}s",
        "tests": [{"interval": f"{INTERVAL}s", "input_series": given, "alert_rule_test": expected}],
    }
    (directory / "rules.yml").write_text(RULES)
    (directory / "test.yml").write_text(json.dumps(test))  # which is YAML too
    status, said = run_promtool("test", "rules", "test.yml", directory=directory)
    assert status == 0, said


def labelled(name: str) -> str:
    """Return a series as Prometheus has it, with the labels of the scrape itself."""
    bare, _, labels = name.partition("{")
    own = ",".join(f'{key}="{value}"' for key, value in JOB.items())
    return f"{bare}{{{own}{',' if labels else '}'}{labels}"


LABELS: Final = {
    "HubMetricFails": {"metric": "disk"},
    "HubClientsTooSlow": {"reason": "too_slow"},
    "HubRefusesMany": {"reason": "token"},
}
"""What tells apart what an alert is about."""


@needs_promtool
@pytest.mark.parametrize("alert", FIRING)
def test_an_alert_fires(tmp_path: Path, scraped: list[Sample], alert: str) -> None:
    fires = {alert: LABELS.get(alert, {})}
    try_rules(tmp_path, scraped, FIRING[alert], fires)


@needs_promtool
@pytest.mark.parametrize("alert", NEARLY)
def test_an_alert_does_not_fire_where_it_should_not(
    tmp_path: Path, scraped: list[Sample], alert: str
) -> None:
    try_rules(tmp_path, scraped, NEARLY[alert], {})


@needs_promtool
def test_nothing_fires_where_all_is_well(tmp_path: Path, scraped: list[Sample]) -> None:
    try_rules(tmp_path, scraped, {}, {})


@needs_promtool
def test_a_rule_that_can_never_fire_is_found_out(
    tmp_path: Path, scraped: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its two sides have different labels, as a rule of an earlier document had."""
    right = 'sum without (transport) (hub_clients{transport!="process"})'
    assert right in RULES
    monkeypatch.setattr(f"{__name__}.RULES", RULES.replace(right, "sum(hub_clients)"))
    with pytest.raises(AssertionError, match="HubNearlyFull"):
        try_rules(tmp_path, scraped, FIRING["HubNearlyFull"], {"HubNearlyFull": {}})


@needs_promtool
def test_the_configuration_of_prometheus_is_one(tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text(snippet("yaml", "scrape_configs:"))
    status, said = run_promtool("check", "config", path.name, directory=tmp_path)
    assert status == 0, said
    assert "SUCCESS" in said
