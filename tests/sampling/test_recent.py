from __future__ import annotations

from itertools import count

import pytest

from hub.sampling.recent import Recent


def test_all_who_ask_within_a_moment_share_a_reading() -> None:
    now, numbers = 100.0, count()
    recent = Recent(lambda: next(numbers), clock=lambda: now)
    assert (recent(), recent()) == (0, 0)
    now += 0.004
    assert recent() == 0
    now += 0.002
    assert recent() == 1


def test_what_is_raised_is_not_kept() -> None:
    def fail() -> int:
        raise OSError

    recent = Recent(fail)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 # it says nothing
            recent()
