"""What a scrape has, as Prometheus reads it and as its own tool judges it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Sample

__all__ = ["needs_promtool", "promtool", "run_promtool", "samples"]

_PROMTOOL: Final = shutil.which("promtool") or ""

needs_promtool = pytest.mark.skipif(not _PROMTOOL, reason="there is no promtool on the path")


def samples(text: str) -> dict[str, float]:
    """Return what OpenMetrics text says, by name and labels, as ``name{label=value}``."""
    found = [one for family in parse(text) for one in family.samples]  # type: ignore[no-untyped-call]
    said = {_written(sample): sample.value for sample in found}
    assert len(said) == len(found), "something is said twice"
    return said


def promtool(text: bytes) -> str:
    """Return what Prometheus' tool has to say of figures in the older text format: best nothing."""
    done = subprocess.run(  # noqa: S603 # our own figures
        [_PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False
    )
    return (done.stdout + done.stderr).decode()


def run_promtool(*arguments: str, directory: Path) -> tuple[int, str]:
    """Run Prometheus' tool; return its exit status and what it has to say."""
    done = subprocess.run(  # noqa: S603 # our own arguments
        [_PROMTOOL, *arguments], cwd=directory, capture_output=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def _written(sample: Sample) -> str:
    labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}}" if labels else sample.name
