from __future__ import annotations

import json
import math
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import InvalidValue, Metric
from hub.sampling.value import plain_value


@pytest.mark.parametrize("name", ["", "CPU", "9lives", "a-b", "a b", "x" * 65, "é", "a\n"])
def test_a_metric_needs_a_name_that_is_a_plain_word(name: str) -> None:
    with pytest.raises(InvalidValue, match="metric name must be a lower-case word"):
        Metric(name, lambda: 1)


class Family(StrEnum):
    QUEUE = "queue"


def test_a_name_is_plain_text_whatever_it_was_given_as() -> None:
    assert type(Metric(Family.QUEUE, int).name) is str


@pytest.mark.parametrize("name", ["error", "errors", "seq", "timestamp"])
def test_a_metric_cannot_take_a_word_of_the_message_format(name: str) -> None:
    with pytest.raises(InvalidValue, match="none of error, errors, seq, timestamp"):
        Metric(name, lambda: 1)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "no value"),
        (math.nan, "nan is not a finite number"),
        (-math.inf, "-inf is not a finite number"),
        ([1, {"a": math.nan}], "nan is not a finite number"),
        (object(), "a object is not a JSON value"),
        ({1: 2}, "a int is not a JSON key"),
        (2**63, "a whole number of more than 64 bits"),
        (Fraction(10) ** 400, "a number that is too large"),
        (b"bytes", "a bytes is not a JSON value"),
    ],
)
def test_what_strict_json_cannot_say_is_refused(raw: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plain_value(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (True, True),
        ((1, None, "a"), [1, None, "a"]),
        (Fraction(1, 4), 0.25),
        ({"a": (1.5,)}, {"a": [1.5]}),
        ("name\udce9", "name?"),
        ({"k\udce9": 1} | {"k\udce8": 2}, {"k?": 1, "k? 2": 2}),
        ({"k\ud800": 1, "k?": 2}, {"k?": 1, "k? 2": 2}),
    ],
)
def test_values_become_plain(raw: object, value: object) -> None:
    assert plain_value(raw) == value


def test_a_decimal_is_not_silently_rounded() -> None:
    with pytest.raises(ValueError, match="Decimal"):
        plain_value(Decimal("0.1"))


def test_a_later_change_by_the_host_does_not_reach_the_copy() -> None:
    mine = [1, 2]
    copy = plain_value(mine)
    mine.append(3)
    assert copy == [1, 2]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=12,
)


@given(_json)
def test_whatever_passes_can_be_encoded_strictly(raw: object) -> None:
    try:
        value = plain_value(raw)
    except ValueError:
        return
    assert json.loads(orjson.dumps(value)) == value
