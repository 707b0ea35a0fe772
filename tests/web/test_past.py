"""How large an answer in columns may become."""

from __future__ import annotations

import re
from itertools import count

import pytest

from hub.errors import InvalidValue
from hub.feed.history import History
from hub.feed.view import View
from hub.sampling.metric import Metric
from hub.sampling.snapshot import Snapshot
from hub.web.columns import encode_columns
from hub.web.past import MOST_BYTES, check_size

VIEW = View(("text",))
LENGTH = 10_000
"""Of the text in each snapshot; so 838 of them are a little less than an answer may have."""


def past(seconds: int) -> History:
    """Return a history that reaches so far back, with a long text in each snapshot."""
    history = History(10_000)
    for tick in range(1000, 1001 + seconds):
        history.append(Snapshot(tick, tick, float(tick), {"text": "x" * LENGTH}))
    return history


def granted(refused: InvalidValue) -> int:
    found = re.match(r"at most about (\d+) for ", refused.rule)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("seconds", [60, 800])
def test_an_answer_that_fits_is_given(seconds: int) -> None:
    history = past(2000)
    check_size(history, VIEW, seconds)
    metrics = {"text": Metric("text", str)}
    pieces = encode_columns(history, VIEW, metrics, seconds)
    assert 0.9 * seconds * LENGTH < sum(len(piece or b"") for piece in pieces) <= MOST_BYTES


@pytest.mark.parametrize("seconds", [900, 2000, 3600, 86400])
def test_who_asks_for_too_much_is_told_how_much_would_fit(seconds: int) -> None:
    history = past(2000)
    with pytest.raises(InvalidValue) as refused:
        check_size(history, VIEW, seconds)
    assert refused.value.field == "seconds"
    assert 700 < granted(refused.value) < MOST_BYTES / LENGTH
    check_size(history, VIEW, granted(refused.value))


def test_all_that_there_is_may_be_asked_for_by_any_number_of_seconds() -> None:
    check_size(past(500), VIEW, 86400)


def test_what_is_no_more_than_was_told_is_given_though_rows_differ() -> None:
    history, length = History(10_000), count(LENGTH)
    for tick in range(3000):
        text = "x" * (next(length) % (LENGTH // 100) + LENGTH)
        history.append(Snapshot(tick, tick, float(tick), {"text": text}))
    with pytest.raises(InvalidValue) as refused:
        check_size(history, VIEW, 3000)
    check_size(history, VIEW, granted(refused.value))
