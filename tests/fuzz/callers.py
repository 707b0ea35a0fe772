"""Who calls: tokens, host names, origins and addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Coroutine, Iterator
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from websockets.exceptions import InvalidHeaderFormat
from websockets.headers import parse_subprotocol

from hub import InvalidValue
from hub.access.address import client_address, network
from hub.access.admission import Admission, Transport
from hub.access.host_policy import HostPolicy, check_host, check_origin
from hub.errors import RefusalReason, Refused
from tests.fuzz.target import CANARY, Target, check_line
from tests.support.fakes import FakeClock

__all__ = ["TARGETS"]

_Headers = list[tuple[bytes, bytes]]

_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def _headers(data: bytes) -> _Headers:
    """Read ``name: value`` lines as servers hand them on; leave out what they would refuse."""
    lines = (line.partition(b":") for line in data.split(b"\n"))
    return [
        (name.lower(), value.strip(b" \t"))
        for name, _, value in lines
        if re.fullmatch(rb"[a-zA-Z-]+", name) and _VALUE.fullmatch(value)
    ]


# Tokens

_TOKENS: Final = ("another", CANARY, "a")
_TOKEN_ADMISSION: Final = Admission(clock=FakeClock(), tokens=_TOKENS)
_NO_TOKENS: Final = Admission(clock=FakeClock())


def show_tokens(data: bytes) -> None:
    headers = _headers(data)
    try:
        subprotocols = _subprotocols(headers)
    except InvalidHeaderFormat:  # such a handshake does not come so far
        subprotocols = []
    scope = {"headers": headers, "subprotocols": subprotocols}
    assert _passes(_TOKEN_ADMISSION, scope) == _shows_token(headers, subprotocols)
    assert not _passes(_NO_TOKENS, scope)


def _subprotocols(headers: _Headers) -> list[str]:
    values = [value for name, value in headers if name == b"sec-websocket-protocol"]
    return [word for value in values for word in parse_subprotocol(value.decode("latin-1"))]


def _passes(admission: Admission, scope: dict[str, Any]) -> bool:
    try:
        admission.authenticate(scope)
    except Refused as error:
        assert error.reason is RefusalReason.TOKEN
        assert str(error) == "a valid token is needed: Authorization: Bearer TOKEN"
        return False
    return True


def _shows_token(headers: _Headers, subprotocols: list[str]) -> bool:
    """Say whether exactly one token is shown, a right one: the header counts before the others."""
    tokens = [token.encode() for token in _TOKENS]
    values = [value for name, value in headers if name == b"authorization"]
    if values:
        shapes = (re.fullmatch(rb"(?i:bearer) +(\S+) *", value) for value in values)
        return [shape[1] in tokens if shape else False for shape in shapes] == [True]
    shown = [word[7:] for word in subprotocols if word[:7] == "bearer."]
    return len(shown) == 1 and shown[0] in _TOKENS


# Host and Origin

_LOCALS: Final = ("127.0.0.1", "192.0.2.7", "2001:db8::7", "::1", "")
_HOSTS: Final = ("metrics.example", "2001:db8::1")
_ORIGINS: Final = ("https://dash.example", "http://dash.example:8080", "any.example")
_STRICT: Final = HostPolicy((), ())
_LISTED: Final = HostPolicy(_HOSTS, _ORIGINS)
_OPEN: Final = HostPolicy(("*",), ("*",))


def judge_hosts(data: bytes) -> None:
    headers = _headers(data)
    for local in _LOCALS:
        strict, listed, opened = (
            _judged(policy, headers, local) for policy in (_STRICT, _LISTED, _OPEN)
        )
        assert strict is not None or listed is None, "what is allowed by itself may be listed, too"
        assert listed is not None or opened is None, "what is listed is one of all"
        if listed is None:
            _check_allowed(headers, local, _HOSTS, _ORIGINS)
        if strict is None:
            _check_allowed(headers, local, (), ())
        shouted = [(name, value.upper()) for name, value in headers]
        assert _judged(_LISTED, shouted, local) is listed, "case makes no difference"


def _judged(policy: HostPolicy, headers: _Headers, local: str) -> RefusalReason | None:
    """Return why headers are refused, or None; the second time must be as the first."""
    verdicts: list[RefusalReason | None] = []
    for _ in range(2):
        try:
            policy.check(headers, local)
        except Refused as error:
            check_line(str(error).replace(CANARY, ""))  # a name is no secret
            verdicts.append(error.reason)
        else:
            verdicts.append(None)
    assert verdicts[0] is verdicts[1]
    assert verdicts[0] in {None, RefusalReason.HOST, RefusalReason.ORIGIN}
    return verdicts[0]


def _check_allowed(
    headers: _Headers, local: str, hosts: tuple[str, ...], origins: tuple[str, ...]
) -> None:
    """Check that whoever parses URLs in another way sees only names that are allowed."""
    (host,) = (value.decode("latin-1") for name, value in headers if name == b"host")
    url = _split(f"http://{host}")
    name = _compared(url.hostname)
    here = _compared(local) if local else "localhost"
    assert name in {here, *hosts} or (_is_local(name) and _is_local(here))
    for origin in (value.decode("latin-1") for key, value in headers if key == b"origin"):
        page = _split(origin)
        assert page.scheme in {"http", "https"}
        page_name = _compared(page.hostname)
        port = page.port or {"http": 80, "https": 443}[page.scheme]
        full = f"{page.scheme}://{page_name}:{port}"
        assert (
            page_name in {name, *origins}
            or full in {check_origin("", one) for one in origins}
            or (_is_local(page_name) and _is_local(here))
        )


def _split(url: str) -> SplitResult:
    found = urlsplit(url)
    assert (found.path, found.query, found.fragment) == ("", "", "")
    assert (found.username, found.password) == (None, None)
    assert found.port is None or 0 <= found.port <= 65535
    return found


def _compared(name: str | None) -> str:
    assert name
    try:
        address = ipaddress.ip_address(name.removesuffix("."))
    except ValueError:
        return name.removesuffix(".")
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_local(name: str) -> bool:
    return name in {"localhost", "::1"} or (name.startswith("127.") and name.count(".") == 3)


def list_hosts(data: bytes) -> None:
    """What an operator lists is compared in one form only, and then lets itself in."""
    text = data.decode("utf-8", "surrogateescape")
    for check in (check_host, check_origin):
        try:
            form = check("allow", text)
        except InvalidValue as error:
            check_line(str(error).replace(CANARY, ""))
            continue
        assert check("allow", form) == form
        assert check("allow", text.upper()) == form
        assert form.isascii()
        assert form.isprintable()
        if form != "*":
            _check_lets_in(form)


def _check_lets_in(form: str) -> None:
    bracketed = f"[{form}]" if ":" in form and "://" not in form else form
    origin = bracketed if "://" in form else f"https://{bracketed}:8443"
    host = _split(origin).netloc.encode()
    policy = HostPolicy([form] if "://" not in form else ["*"], [origin])
    policy.check([(b"host", host), (b"origin", origin.encode())], "192.0.2.7")
    policy.check([(b"host", host.upper()), (b"origin", origin.encode())], "2001:db8::7")


# Addresses

_TRUSTED: Final = ("127.0.0.1", "10.0.0.0/8", "::1")


def forward_addresses(data: bytes) -> None:
    """Whatever a proxy hands on, it is one client, who has its share and leaves nothing behind."""
    headers = [(b"x-forwarded-for", line) for line in data.split(b"\n") if _VALUE.fullmatch(line)]
    for trusted in (list(_TRUSTED), ["0.0.0.0/0"]):
        scope = {"type": "http", "headers": headers, "client": ("127.0.0.1", 4711)}
        _check_share(_forwarded(scope, trusted))


def _forwarded(scope: dict[str, Any], trusted: list[str]) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: object, send: object) -> None:  # noqa: ANN401, ARG001
        seen.append(scope)

    middleware = ProxyHeadersMiddleware(app, trusted)
    _finish(middleware(scope, None, None))  # type: ignore[arg-type] # neither is called
    return seen[0]


def _finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def _check_share(scope: dict[str, Any]) -> None:
    host, _ = client_address(scope)
    admission = Admission(clock=FakeClock(), max_clients_per_ip=2, connect_rate="2/second")
    tickets = []
    for _ in range(2):
        admission.admit_attempt(scope)
        tickets.append(admission.acquire(scope, Transport.EVENTS))
        check_line(str(tickets[-1]))
    if not host:  # it is not told apart from others, nor counted with them
        admission.admit_attempt(scope)
        return
    neighbours = list(_neighbours(host))
    for same in (host, *neighbours):
        again = {**scope, "client": (same, 1)}
        assert _refusal_of(lambda s=again: admission.admit_attempt(s)) is RefusalReason.RATE
        acquire = _refusal_of(lambda s=again: admission.acquire(s, Transport.WEBSOCKET))
        assert acquire is RefusalReason.ADDRESS
    for ticket in (*tickets, *tickets):
        assert host in str(ticket)
        ticket.release()
    assert set(admission.statistics().clients.values()) == {0}
    assert not admission._client_shares._clients


def _refusal_of(act: Any) -> RefusalReason:  # noqa: ANN401 # a callable
    try:
        act()
    except Refused as error:
        check_line(str(error))
        assert error.retry_after is not None
        assert error.retry_after >= 1
        return error.reason
    raise AssertionError("it is not refused")


def _neighbours(host: str) -> Iterator[str]:
    """Yield other ways to write an address, and others of the same subscriber's line."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if isinstance(address, ipaddress.IPv4Address):
        yield f"::ffff:{address}"
        return
    if address.ipv4_mapped is not None:
        yield str(address.ipv4_mapped)
        return
    number = int(address)  # without a zone
    yield ipaddress.IPv6Address(number).exploded
    yield str(ipaddress.IPv6Address(number ^ 0xFFFF))
    assert network(str(ipaddress.IPv6Address(number ^ 1 << 64))) != network(host)


TARGETS: Final = (
    Target("token", show_tokens, [
        b"Authorization: ", b"Bearer ", b"bearer", b"BEARER ", b"Basic ", b"\n", b" ", b"\t", b", ",
        b"Sec-WebSocket-Protocol: ", b"bearer.", b"metrics.v1", b",", b"another", b"a", b"\0",
        CANARY.encode(), CANARY.encode()[:-1], b"\xa0", b"\x85", b"\xff",
    ]),
    Target("host", judge_hosts, [
        b"Host: ", b"Origin: ", b"\n", b"http://", b"https://", b"null", b"localhost", b":80",
        b"127.0.0.1", b"192.0.2.7", b"[::1]", b"[2001:db8::7]", b"[::ffff:127.0.0.1]", b":8080",
        b"metrics.example", b"[2001:db8::1]", b"dash.example", b"any.example", b"evil.example",
        b".", b"@", b"/", b"?", b"#", b"\\", b"%", b"[", b"]", b"0x7f.1", b"2130706433", b"*", b" ",
        b":0", b":", b"127.1", b"0177.0.0.1", b"\xb2", b"\xe9", b"[::1%1]", b":65536",
    ]),
    Target("allowed_host", list_hosts, [
        b"http://", b"https://", b"*", b"null", b"localhost", b"metrics.example", b":8080", b"::1",
        b"[::1]", b"2001:db8::1", b"::ffff:1.2.3.4", b"127.1", b"0x7f", b"%1", b".", b":", b"/",
        b"@", b"_", b"-", b"xn--", b"\xe2\x84\xaa", b"\xc4\xb0", b"\xff", b"\0",
    ]),
    Target("forwarded", forward_addresses, [
        b"192.0.2.7", b"10.0.0.1", b"127.0.0.1", b"2001:db8::7", b"[2001:db8::7]", b":80",
        b"unknown", b"::ffff:192.0.2.7", b"fe80::1%eth0", b"%", b", ", b",", b'"9.9.9.9"',
        b"009.9.9.9", b":-1", b":99999999999999999999", b"\xb2", b"\x85", b"\x9b", b"\n",
        b"[", b"]",
    ]),
)  # fmt: skip
