from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import InvalidValue, Metric
from hub.devices import Selection
from hub.feed.catalog import Catalog
from hub.feed.query import COLUMNS, FEED, LATEST, FeedQuery, Parameter, build_query, parse
from hub.feed.view import DEFAULT_METRICS, Aggregate, View

KNOWN = ("cpu", "memory", "disk", "queue_depth")


def offer(*names: str, interval: float = 1.0, history: float = 3600.0) -> Catalog:
    return Catalog(tuple(Metric(name, lambda: 1) for name in names or KNOWN), interval, history)


def read(query: bytes | str, parameters: Sequence[Parameter] = FEED, **what: float) -> FeedQuery:
    return parse(query.encode() if isinstance(query, str) else query, parameters, offer(**what))


def refusal(query: bytes | str, parameters: Sequence[Parameter] = FEED, **what: float) -> str:
    with pytest.raises(InvalidValue) as caught:
        read(query, parameters, **what)
    assert "\n" not in str(caught.value)
    return f"{caught.value.field}: {caught.value}"


def test_an_empty_query_asks_for_the_default_view_from_now_on() -> None:
    assert read("") == FeedQuery(View(DEFAULT_METRICS), history=0, since=None)


@pytest.mark.parametrize(
    ("query", "metrics"),
    [
        ("metrics=cpu", ("cpu",)),
        ("metrics=disk,cpu", ("cpu", "disk")),
        ("metrics=disk&metrics=cpu,disk", ("cpu", "disk")),
        ("metrics=cpu%2Cqueue_depth", ("cpu", "queue_depth")),
    ],
)
def test_a_query_chooses_metrics(query: str, metrics: tuple[str, ...]) -> None:
    assert read(query).view == View(metrics)


@given(st.lists(st.sampled_from(KNOWN), min_size=1))
def test_order_and_repetition_make_no_difference(chosen: list[str]) -> None:
    view = read("metrics=" + ",".join(chosen)).view
    assert view == read("metrics=" + "&metrics=".join(set(chosen))).view
    assert list(view.metrics) == [name for name in KNOWN if name in chosen]


def test_a_hub_without_the_default_metrics_offers_all_it_has() -> None:
    assert parse(b"", FEED, offer("rain", "wind")).view == View(("rain", "wind"))
    assert parse(b"", FEED, offer("rain", "cpu")).view == View(("cpu",))


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        (b"metrics=", "metrics"),
        (b"metrics", "metrics"),
        (b"metrics=cpu,", "metrics"),
        (b"metrics=cpu&metrics=", "metrics"),
        (b"metrics=CPU", "metrics"),
        (b"metrics=gpu", "metrics"),
        (b"metrics= cpu", "metrics"),
        (b"metrics=%ff", "query"),
        (b"metrics=\xff", "query"),
        (b"&".join([b"metrics=cpu"] * 101), "query"),
        (b"interval=2&interval=2", "interval"),
        (b"seq=true&seq=true", "seq"),
        (b"aggregate=median", "aggregate"),
        (b"aggregate=MEAN", "aggregate"),
        (b"partial=1", "partial"),
        (b"partial=True", "partial"),
        (b"seq=", "seq"),
    ],
)
def test_a_bad_query_is_refused_naming_the_parameter(query: bytes, parameter: str) -> None:
    assert refusal(query).startswith(f"{parameter}: {parameter} must be ")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [(b"color=red", "color"), (b"metrics=cpu&color", "color"), (b"seconds=5", "seconds")],
)
def test_an_unknown_parameter_is_named_and_its_value_is_not(query: bytes, parameter: str) -> None:
    valid = "metrics, interval, aggregate, history, since, partial, seq, devices"
    assert refusal(query) == f"{parameter}: unknown parameter '{parameter}'; valid: {valid}"


@pytest.mark.parametrize(
    "query",
    [b"token=secret", b"token=secret&token=secret", b"token=secret&%ff", b"token=secret&\xff"],
)
def test_no_refusal_repeats_what_an_unknown_parameter_was_given(query: bytes) -> None:
    assert "secret" not in refusal(query)


def test_a_refusal_lists_the_valid_names() -> None:
    assert "one or more of cpu, memory, disk, queue_depth, not 'gpu'" in refusal("metrics=gpu")


# Interval


@pytest.mark.parametrize(
    ("base", "text", "ticks"),
    [
        (1.0, "1", 1),
        (1.0, "5", 5),
        (1.0, "5.0", 5),
        (1.0, "05.000000000", 5),
        (1.0, "3600", 3600),
        (0.1, "0.1", 1),
        (0.1, "0.3", 3),
        (0.1, "3600", 36000),
        (0.25, "1.75", 7),
        (60.0, "60", 1),
    ],
)
def test_an_interval_is_a_whole_number_of_ticks(base: float, text: str, ticks: int) -> None:
    assert read(f"interval={text}", interval=base).view.ticks == ticks


BAD_NUMBERS = [
    "",
    "-1",
    "+1",
    "1e0",
    "1.",
    ".5",
    " 5",
    "5 ",
    "1_0",
    "\u0665",
    "0x5",
    "nan",
    "inf",
    "1,5",
]


@pytest.mark.parametrize("text", [*BAD_NUMBERS, "0", "0.0", "1.5", "3601", "9" * 50])
def test_other_intervals_are_refused_with_the_rule_and_the_base(text: str) -> None:
    said = refusal(f"interval={quote(text)}")
    assert "interval must be a whole multiple of 1 seconds, from 1 to 3600" in said


def test_the_rule_names_the_base_that_is() -> None:
    assert "a whole multiple of 0.1 seconds" in refusal("interval=0.25", interval=0.1)


# The past


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("300", 300), ("3600", 3600)])
def test_history_is_seconds_within_the_buffer(text: str, seconds: float) -> None:
    assert read(f"history={text}").history == seconds


@pytest.mark.parametrize("text", [*BAD_NUMBERS, "5.0", "3601", "999999999"])
def test_other_histories_are_refused_with_the_buffer_s_size(text: str) -> None:
    assert "history must be a whole number of seconds from 0 to 3600" in refusal(
        f"history={quote(text)}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "2025-11-10T12:30:45.123456+00:00",
        "2025-11-10T12:30:45.123456 00:00",
        "2025-11-10T12:30:45.123456Z",
        "2025-11-10T14:00:45.123456+01:30",
    ],
)
def test_since_is_a_timestamp_in_any_zone_escaped_or_not(text: str) -> None:
    assert read(f"since={text}").since == 1762777845.123456
    assert read(f"since={quote(text)}").since == 1762777845.123456


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1762777845",
        "2025-11-10",
        "2025-11-10T12:30:45",
        "2025-11-10 12:30:45Z",
        "2025-11-31T12:30:45Z",
        "0000-11-10T12:30:45Z",
        "2025-W46-1T12:30:45Z",
        "2025-11-10T25:30:45Z",
        "2025-11-10T12:30:45+01:60",
        "\uff12025-11-10T12:30:45Z",
    ],
)
def test_anything_else_is_no_timestamp(text: str) -> None:
    assert refusal(f"since={quote(text)}").startswith("since: since must be a timestamp")


def test_since_and_history_exclude_each_other() -> None:
    both = "since=2025-11-10T12:30:45Z&history=0"
    assert "since must be left out where history is given" in refusal(both)


# The rest


def test_the_other_parameters_of_the_feed() -> None:
    query = "interval=5&aggregate=max&partial=true&seq=true&metrics=cpu&history=60"
    view = View(("cpu",), 5, Aggregate.MAX, partial=True, seq=True)
    assert read(query) == FeedQuery(view, history=60)
    assert read("partial=false&seq=false&aggregate=mean&interval=1") == read("")


def test_the_latest_message_has_no_past_and_no_number() -> None:
    assert read("interval=5", LATEST).view.ticks == 5
    for query in ("history=5", "since=2025-11-10T12:30:45Z", "seq=true"):
        assert "unknown parameter" in refusal(query, LATEST)


def test_columns_are_of_the_last_five_minutes_unless_told() -> None:
    assert read("", COLUMNS).history == 300
    assert read("", COLUMNS, history=60).history == 60
    assert read("seconds=10&interval=2&aggregate=min", COLUMNS) == FeedQuery(
        View(DEFAULT_METRICS, 2, Aggregate.MIN), history=10
    )
    assert "seconds must be a whole number of seconds from 0 to 60" in refusal(
        "seconds=61", COLUMNS, history=60
    )


NAMES = st.sampled_from([*(p.name for p in FEED), "seconds", "colour"]) | st.text(max_size=5)
TEXTS = st.sampled_from(["true", "5", "cpu", "mean", "2025-11-10T12:30:45Z"]) | st.text(max_size=9)


@given(st.binary() | st.lists(st.tuples(NAMES, TEXTS)).map(lambda q: urlencode(q).encode()))
def test_any_query_is_either_read_or_refused(query: bytes) -> None:
    try:
        request = read(query)
    except InvalidValue as error:
        said = str(error)
    else:
        said = ""
        assert set(request.view.metrics) <= set(KNOWN)
        assert 1 <= request.view.ticks <= 3600
        assert 0 <= request.history <= 3600
    assert len(said.splitlines()) <= 1


@pytest.mark.parametrize("parameters", [FEED, LATEST, COLUMNS])
def test_every_default_that_is_described_is_what_leaving_out_means(
    parameters: Sequence[Parameter],
) -> None:
    defaults = {p.name: p.schema(offer()).get("default") for p in parameters}
    said = {name: _text(value) for name, value in defaults.items() if value is not None}
    assert read(urlencode(said), parameters) == read("", parameters)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)


# The same rules for the host's own values


def build(**values: Any) -> FeedQuery:  # noqa: ANN401 # bad ones too
    settings = {"interval": 1.0, "history": 3600.0, **values.pop("catalog", {})}
    given = {
        "metrics": ("cpu",), "interval": None, "aggregate": "mean", "history": 0,
        "partial": False, "seq": False, "devices": (), **values,
    }  # fmt: skip
    return build_query(offer(**settings), **given)


@pytest.mark.parametrize("base", [1 / 3, 0.1, 0.7, 1.0, 2.5, 59.99])
def test_an_interval_of_so_many_ticks_is_whole_whatever_the_base(base: float) -> None:
    catalog = {"interval": base}
    assert build(catalog=catalog).view.ticks == 1
    for ticks in (1, 2, 3, 7, 50):
        assert build(catalog=catalog, interval=ticks * base).view.ticks == ticks
        assert read(f"interval={ticks * base:.9f}", interval=base).view.ticks == ticks
        assert read(f"interval={ticks * base}", interval=base).view.ticks == ticks


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("metrics", ("gpu",), "one or more of cpu, memory"),
        ("metrics", (), "a sequence of one or more of cpu, memory"),
        ("metrics", "cpu", "a sequence of one or more of cpu, memory"),
        ("interval", 1.5, "a whole multiple of 1 seconds"),
        ("interval", 0, "a whole multiple"),
        ("interval", math.nan, "a whole multiple"),
        ("interval", math.inf, "a whole multiple"),
        ("interval", True, "a whole multiple"),
        ("interval", "1", "a whole multiple"),
        ("aggregate", "median", "one of mean, min, max, last"),
        ("aggregate", None, "one of mean, min, max, last"),
        ("history", -1, "a whole number of seconds from 0 to 3600"),
        ("history", 1.0, "a whole number of seconds"),
        ("history", True, "a whole number of seconds"),
        ("partial", 1, "True or False"),
        ("seq", "true", "True or False"),
    ],
)
def test_a_bad_value_of_the_host_is_refused_naming_field_rule_and_value(
    field: str, value: object, rule: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        build(**{field: value})
    assert str(caught.value).startswith(f"{field} must be {rule}")
    assert caught.value.field == field


def test_values_of_the_host_make_the_query_that_their_texts_make() -> None:
    built = build(metrics=("memory", "cpu"), interval=5, aggregate=Aggregate.MAX, history=60,
                  partial=True, seq=True)  # fmt: skip
    assert built == read(
        "metrics=cpu,memory&interval=5&aggregate=max&history=60&partial=true&seq=true"
    )


# Members


def with_members() -> Catalog:
    member = {"type": "object", "additionalProperties": {"type": "number"}}
    families = (Metric(name, int, schema=member) for name in ("disks", "fans"))
    metrics = (Metric("cpu", int), *families)
    return Catalog(metrics, 1.0, 60.0, devices={"disks": Selection(("/*",), ("/boot",))})


def selected(query: str) -> dict[str, Selection]:
    return dict(parse(query.encode(), FEED, with_members()).view.devices)


def test_members_are_the_operator_s_unless_a_view_says_otherwise() -> None:
    default = Selection(("/*",), ("/boot",))
    assert selected("metrics=disks") == {"disks": default}
    assert selected("metrics=disks&devices=disks:/home") == {"disks": Selection(("/home",))}
    assert selected("metrics=disks&devices=disks:!/srv") == {
        "disks": Selection(("/*",), ("/boot", "/srv"))
    }


def test_lists_can_be_repeated_and_views_that_show_the_same_are_equal() -> None:
    one = selected("metrics=disks,fans&devices=fans:a,b&devices=disks:/x")
    assert one == selected("metrics=disks,fans&devices=disks:/x,fans:b,a")
    assert selected("metrics=cpu&devices=disks:/x") == {}, "of what is not shown"


def test_what_has_no_members_is_refused() -> None:
    for family in ("cpu", "gpu"):
        with pytest.raises(InvalidValue, match="which are disks, fans"):
            selected(f"devices={family}:x")
    with pytest.raises(InvalidValue, match=r"^--devices must be about families"):
        replace(with_members(), devices={"cpu": Selection()}).check_devices("--devices")
    with_members().check_devices("--devices")


def test_the_host_s_code_chooses_members_by_the_same_rules() -> None:
    built = build(catalog={}, devices=())
    assert built.view.devices == ()
    with pytest.raises(InvalidValue, match="devices must be a sequence of text"):
        build(devices=(1,))


def test_a_family_that_needs_an_extra_says_so() -> None:
    catalog = replace(with_members(), extras={"gpu": "metrics-hub[gpu]"})
    with pytest.raises(InvalidValue, match=r"\(gpu needs the extra metrics-hub\[gpu\]\)"):
        parse(b"metrics=gpu", FEED, catalog)
