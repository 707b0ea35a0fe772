"""The plain values: settings, errors, snapshots, frames."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as ReferenceFrame
from websockets.frames import Opcode

from hub import CloseReason, Frame, InvalidValue, Settings
from hub.sampling.snapshot import Failure, Snapshot
from hub.text import one_line
from tests.support.fakes import START


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("interval", 0.09),
        ("interval", 60.1),
        ("interval", math.nan),
        ("interval", math.inf),
        ("interval", True),
        ("interval", "1"),
        ("stall_timeout", 0.5),
        ("stall_timeout", 3601),
        ("queue", 0),
        ("queue", 1025),
        ("queue", 8.0),
        ("queue", True),
        ("compression", 1),
        ("compression", "no"),
        ("identity", None),
        ("disk_path", ""),
        ("disk_path", "a\0b"),
        ("disk_path", 3),
    ],
)
def test_settings_refuse_a_bad_value_in_one_line_naming_field_and_value(
    field: str, value: object
) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(InvalidValue) as caught:
        Settings(**changes)
    text = str(caught.value)
    assert text.startswith(f"{field} must be ")
    assert text.endswith(f"not {value!a}")
    assert "\n" not in text


def test_settings_accept_the_bounds_and_have_the_documented_defaults() -> None:
    Settings(interval=0.1, queue=1, stall_timeout=1)
    Settings(interval=60, queue=1024, stall_timeout=3600)
    defaults = Settings()
    assert (defaults.interval, defaults.queue, defaults.stall_timeout) == (1.0, 8, 15.0)


def test_a_long_bad_value_is_cut_short() -> None:
    assert len(str(InvalidValue("field", "short", "x" * 10_000))) < 120


def test_a_close_reason_has_a_code_and_a_phrase() -> None:
    assert CloseReason.RESTART.code == 1012
    assert CloseReason.TOO_SLOW.code == 4008
    assert all(
        close_reason.phrase and len(close_reason.phrase.encode()) < 124
        for close_reason in CloseReason
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), "No such file or directory: /x"),
        (ValueError("one\n two\t three"), "one two three"),
        (ValueError(), "ValueError"),
        (OSError("plain"), "plain"),
        (ValueError("a\udcffb"), "a?b"),
        (ValueError("\x1b[2J"), "?[2J"),
        (ValueError("x" * 1000), "x" * 199 + "…"),
    ],
)
def test_a_failure_says_its_cause_in_one_encodable_line(error: Exception, cause: str) -> None:
    assert Failure.of(error).cause == cause


@given(st.text(st.characters(codec=None)))
def test_one_line_is_always_one_line_of_valid_unicode(text: str) -> None:
    line = one_line(text, 20)
    assert line.isprintable()
    assert len(line) <= 20
    line.encode()


def test_a_timestamp_is_utc_with_six_digits_also_on_the_full_second() -> None:
    assert Snapshot(1, 1, START, {}).timestamp == "2025-11-10T12:30:45.123456+00:00"
    assert Snapshot(1, 1, 0.0, {}).timestamp == "1970-01-01T00:00:00.000000+00:00"


def test_a_frame_carries_its_payload_as_text_and_on_the_wire() -> None:
    frame = Frame('{"é":1}'.encode())
    assert json.loads(frame.text) == {"é": 1}
    assert frame.wire == b"\x81\x08" + frame.payload


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_a_frame_on_the_wire_is_what_a_websocket_library_makes(length: int) -> None:
    payload = b"x" * length
    assert Frame(payload).wire == ReferenceFrame(Opcode.TEXT, payload).serialize(mask=False)


def test_frames_are_equal_by_what_they_say() -> None:
    assert Frame(orjson.dumps({"a": 1})) == Frame(b'{"a":1}')


def test_a_failure_within_psutil_says_what_could_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(psutil, "PROCFS_PATH"):
        pytest.skip("psutil reads no files here")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    with pytest.raises(OSError, match="No such file") as missing:
        psutil.cpu_times(percpu=True)
    assert Failure.of(missing.value).cause == f"No such file or directory: {tmp_path}/stat"
    (tmp_path / "stat").write_text("cpu 1 2\ncpu0 1 2\n")
    with pytest.raises(TypeError) as odd:
        psutil.cpu_times(percpu=True)
    cause = "psutil's cpu_times can make nothing of what the system says (TypeError)"
    assert Failure.of(odd.value).cause == cause
