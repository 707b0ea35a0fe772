from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sampling.pressure import pressure_stalls

FILE = """\
some avg10={0} avg60=0.27 avg300=0.14 total=2957092
full avg10={1} avg60=0.00 avg300=0.00 total=0
"""
REAL = Path("/proc/pressure")


class Kernel:
    """A tree as a kernel that measures pressure has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._directory = root / "proc/pressure"

    def tell(self, resource: str, text: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / resource).write_text(text)

    def stalls(self) -> dict[str, dict[str, float]]:
        return pressure_stalls(self.root)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_each_resource_has_its_average_of_ten_seconds(kernel: Kernel) -> None:
    kernel.tell("cpu", FILE.format("1.20", "0.00"))
    kernel.tell("memory", FILE.format("0.00", "0.00"))
    kernel.tell("io", FILE.format("99.07", "100.00"))
    assert kernel.stalls() == {
        "cpu": {"some": 1.2, "full": 0.0},
        "memory": {"some": 0.0, "full": 0.0},
        "io": {"some": 99.07, "full": 100.0},
    }


def test_what_an_older_kernel_does_not_tell_is_absent(kernel: Kernel) -> None:
    kernel.tell("cpu", FILE.format("1.20", "0.00").splitlines()[0])
    kernel.tell("io", FILE.format("2.00", "1.00"))
    assert kernel.stalls() == {"cpu": {"some": 1.2}, "io": {"some": 2.0, "full": 1.0}}


def test_what_a_later_kernel_tells_besides_is_not_looked_at(kernel: Kernel) -> None:
    kernel.tell("cpu", "half avg10=x\n\n" + FILE.format("1.20", "0.00 avg5=7"))
    kernel.tell("irq", FILE.format("1.00", "1.00"))
    assert kernel.stalls() == {"cpu": {"some": 1.2, "full": 0.0}}


def test_where_nothing_is_measured_there_is_nothing(kernel: Kernel) -> None:
    assert kernel.stalls() == {}
    kernel.tell("cpu", "")
    assert kernel.stalls() == {}


def test_where_the_directory_is_something_else_there_is_nothing(kernel: Kernel) -> None:
    (kernel.root / "proc").write_text("")
    assert kernel.stalls() == {}


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EACCES])
def test_only_a_kernel_that_was_told_not_to_measure_is_no_error(
    kernel: Kernel, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError(code, "refused")

    kernel.tell("cpu", FILE.format("1.20", "0.00"))
    monkeypatch.setattr(Path, "read_text", refuse)
    if code == errno.EOPNOTSUPP:
        assert kernel.stalls() == {}
    else:
        with pytest.raises(OSError, match="refused"):
            kernel.stalls()


@pytest.mark.parametrize(
    "line",
    [
        "some",
        "some avg60=1.00",
        "some avg10",
        "some avg10=",
        "some avg10=much",
        "some avg10=-1.00",
        "some avg10=100.01",
        "some avg10=nan",
        "full avg10=inf",
        "full avg10=\N{SUPERSCRIPT TWO}",
    ],
)
def test_a_file_that_says_something_else_is_named(kernel: Kernel, line: str) -> None:
    kernel.tell("memory", FILE.format("1.00", "1.00"))
    kernel.tell("io", f"{line}\n")
    with pytest.raises(RuntimeError, match=r"pressure.io has .* as avg10"):
        kernel.stalls()


@given(
    st.lists(
        st.sampled_from(("some", "full", " ", "\n", "avg10", "=", "1.5", "-", "e9", "nan", "é")),
        max_size=12,
    ).map("".join)
)
def test_whatever_a_file_says_it_is_percentages_or_that_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    kernel.tell("cpu", text)
    with suppress(RuntimeError):  # of which the test above has the words
        assert all(0 <= share <= 100 for share in kernel.stalls().get("cpu", {}).values())


@pytest.mark.skipif(not REAL.is_dir(), reason="the kernel measures no pressure")
def test_this_machine_tells_of_all_three() -> None:
    found = pressure_stalls()
    assert not found or found.keys() == {"cpu", "memory", "io"}
    assert all("some" in stalls for stalls in found.values())
