from __future__ import annotations

import contextlib
import tracemalloc
import zlib
from collections.abc import Sequence
from hashlib import shake_128
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.headers import build_extension, parse_extension

from hub.feed.deflate import WINDOW_BITS
from hub.server.deflate import TooLargeError, inflate, negotiate

ANSWER: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
BITS: Final = f"{ANSWER}; server_max_window_bits={WINDOW_BITS}"
TAIL: Final = b"\x00\x00\xff\xff"
LIMIT: Final = 4096


# The agreement


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("permessage-deflate", ANSWER),
        ("permessage-deflate; client_max_window_bits", ANSWER),  # browsers, and Node's ws
        ("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", BITS),
        ("permessage-deflate;client_max_window_bits=8;server_no_context_takeover", ANSWER),
        ("permessage-deflate ; client_no_context_takeover\t", ANSWER),
        ('permessage-deflate; server_max_window_bits="15"', BITS),
        ('permessage-deflate; server_max_window_bits="1\\5"', BITS),
        ("permessage-deflate; server_max_window_bits=11", BITS),
        (", , permessage-deflate,", ANSWER),
        ('x-webkit-deflate-frame, another; a="b, c", permessage-deflate', ANSWER),
        ("permessage-deflate; server_max_window_bits=9, permessage-deflate", ANSWER),
        ("permessage-deflate; unknown, permessage-deflate; server_max_window_bits=13", BITS),
        ("permessage-deflate; client_max_window_bits=, permessage-deflate", ANSWER),
    ],
)
def test_the_first_offer_that_can_be_served_is_taken(offers: str, answer: str) -> None:
    assert negotiate(offers) == answer


@pytest.mark.parametrize(
    "offers",
    [
        "",
        ",",
        "permessage-deflated",
        "Permessage-Deflate",
        "x permessage-deflate",
        "permessage-deflate;",
        "permessage-deflate; ;client_max_window_bits",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=012",
        "permessage-deflate; server_max_window_bits=+12",
        "permessage-deflate; server_max_window_bits=\u0661\u0662",
        "permessage-deflate; client_max_window_bits=16",
        'permessage-deflate; client_max_window_bits=""',
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=12",
        "permessage-deflate; mux",
        "permessage-deflate; =12",
        'permessage-deflate; server_max_window_bits="12',
        'another; a="b, permessage-deflate',
        "permessage-deflate" + " " * 1024,
        *(f"permessage-deflate; a{c}" for c in "\0\x7f\xff()<>@:/[]{}"),
    ],
)
def test_what_is_not_sound_is_declined(offers: str) -> None:
    assert negotiate(offers) is None


_bits = st.none() | st.integers(9, 15)


@given(st.booleans(), st.booleans(), _bits, _bits | st.just(value=True))
def test_a_client_accepts_the_answer_to_what_it_has_offered(
    server_takeover: bool,  # noqa: FBT001 # hypothesis'
    client_takeover: bool,  # noqa: FBT001
    server_bits: int | None,
    client_bits: int | bool | None,  # noqa: FBT001 # True is without a value
) -> None:
    client = ClientPerMessageDeflateFactory(
        server_takeover, client_takeover, server_bits, client_bits
    )
    answer = negotiate(build_extension([(client.name, client.get_request_params())]))
    assert (answer is None) == (server_bits is not None and server_bits < WINDOW_BITS)
    if answer is None:
        return
    ((name, parameters),) = parse_extension(answer)
    assert name == client.name
    agreed = client.process_response_params(parameters, [])
    assert isinstance(agreed, PerMessageDeflate)
    assert agreed.remote_no_context_takeover
    assert agreed.local_no_context_takeover
    assert agreed.remote_max_window_bits >= WINDOW_BITS


_words = st.sampled_from(
    [
        *("permessage-deflate", "server_no_context_takeover", "client_no_context_takeover"),
        *("server_max_window_bits", "client_max_window_bits", "8", "10", "11", "15", "16", "x"),
        *(";", ";", ";", "=", "=", ",", " ", "\t", '"', "\\", "\0", "\xff"),
    ]
)


@given(st.text(max_size=60) | st.lists(_words, max_size=16).map("".join))
def test_whatever_is_offered_is_answered_or_declined(offers: str) -> None:
    assert negotiate(offers) in {None, ANSWER, BITS}


@given(st.lists(st.lists(_words, max_size=6).map("".join), max_size=4).map(", ".join))
def test_another_reader_takes_the_same_offer(offers: str) -> None:
    offers = "permessage-deflate; " + offers
    try:
        found = parse_extension(offers)
    except Exception:  # there is nothing to compare it with
        return
    taken = [parameters for name, parameters in found if name == "permessage-deflate"]
    assert negotiate(offers) == next(filter(None, map(_expected, taken)), None)


def _expected(parameters: Sequence[tuple[str, str | None]]) -> str | None:
    from websockets.extensions import permessage_deflate  # noqa: PLC0415 # not public

    try:
        _, _, bits, _ = permessage_deflate._extract_parameters(parameters, is_server=True)
    except NegotiationError:
        return None
    if bits is None:
        return ANSWER
    return BITS if bits >= WINDOW_BITS else None


# What clients send


def compressed(
    data: bytes, *, level: int = 6, bits: int = 15, flushes: Sequence[tuple[int, int]] = ()
) -> bytes:
    """Compress a message, flushing at some places, each in some way."""
    compressor = zlib.compressobj(level, wbits=-bits)
    parts, begin = [], 0
    for end, way in sorted(flushes):
        parts += [compressor.compress(data[begin:end]), compressor.flush(way)]
        begin = end
    parts += [compressor.compress(data[begin:]), compressor.flush(zlib.Z_SYNC_FLUSH)]
    return b"".join(parts).removesuffix(TAIL)


_messages = st.binary(max_size=200) | st.builds(
    lambda unit, count: (unit * count)[:LIMIT],
    st.binary(min_size=1, max_size=9),
    st.integers(0, LIMIT),
)
_flushes = st.lists(
    st.tuples(st.integers(0, LIMIT), st.sampled_from([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH])),
    max_size=4,
)


@given(_messages, st.integers(0, 9), st.integers(9, 15), _flushes)
def test_a_message_is_the_same_however_it_was_compressed(
    message: bytes, level: int, bits: int, flushes: list[tuple[int, int]]
) -> None:
    flushes = [(at % (len(message) + 1), way) for at, way in flushes]
    sent = compressed(message, level=level, bits=bits, flushes=flushes)
    assert inflate(sent, LIMIT) == message


@given(_messages)
def test_a_client_may_write_the_end_itself(message: bytes) -> None:
    compressor = zlib.compressobj(wbits=-15)
    sent = compressor.compress(message) + compressor.flush(zlib.Z_FINISH) + b"\0"
    assert inflate(sent, LIMIT) == message


@given(_messages, st.integers(0, LIMIT))
def test_no_more_is_inflated_than_there_may_be(message: bytes, limit: int) -> None:
    if len(message) <= limit:
        assert inflate(compressed(message), limit) == message
    else:
        with pytest.raises(TooLargeError):
            inflate(compressed(message), limit)


@given(st.binary(max_size=1600), st.integers(0, 300))
def test_any_bytes_are_inflated_within_the_limit_or_refused(data: bytes, limit: int) -> None:
    with contextlib.suppress(TooLargeError, zlib.error):
        assert len(inflate(data, limit)) <= limit


@settings(max_examples=20)
@given(st.integers(1, 9))
def test_a_bomb_takes_no_memory(level: int) -> None:
    bomb = compressed(bytes(4_000_000), level=level)
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            inflate(bomb, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < len(bomb) + 64 * 1024
    finally:
        tracemalloc.stop()


def test_noise_of_the_largest_size_is_inflated() -> None:
    noise = shake_128(b"noise").digest(LIMIT)
    assert inflate(compressed(noise), LIMIT) == noise
