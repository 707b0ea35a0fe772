"""What a client sends to get a request past a proxy: framing, lines, hosts, paths, upgrades."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from tests.support.clients import handshake
from tests.support.servers import PATH

__all__ = ["CASES", "Case"]

Case: TypeAlias = tuple[bytes, ...]
"""What is sent, each part once the one before has been answered, if it is."""


def _request(
    target: str = PATH, *headers: str, method: str = "GET", host: str = "localhost"
) -> bytes:
    lines = (f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")


_SMUGGLED: Final = _request("/metrics")
_LAST: Final = _request("/static/last", "Connection: close")
_CHUNK: Final = b"%x\r\n%s\r\n0\r\n\r\n" % (len(_SMUGGLED), _SMUGGLED)
_ALL: Final = len(b"0\r\n\r\n" + _SMUGGLED)
_SIZE: Final = len(b"%x\r\n" % len(_SMUGGLED))


def _post(*headers: str, body: bytes = _CHUNK) -> Case:
    return (_request(PATH, *headers, method="POST") + body + _LAST,)


_ENCODINGS: Final = {
    "chunked": ("Transfer-Encoding: chunked",),
    "two spaces": ("Transfer-Encoding:  chunked",),
    "none": ("Transfer-Encoding:chunked",),
    "a tab": ("Transfer-Encoding:\tchunked",),
    "a vertical tab": ("Transfer-Encoding: \x0bchunked",),
    "a form feed": ("Transfer-Encoding: chunked\x0c",),
    "a zero byte": ("Transfer-Encoding: chunked\x00",),
    "a no-break space": ("Transfer-Encoding: \xa0chunked",),
    "another word": ("Transfer-Encoding: xchunked",),
    "other letters": ("tRANSFER-eNCODING: cHUNKED",),
    "quotes": ('Transfer-Encoding: "chunked"',),
    "a parameter": ("Transfer-Encoding: chunked;x=y",),
    "a comma": ("Transfer-Encoding: , chunked",),
    "chunked twice": ("Transfer-Encoding: chunked, chunked",),
    "identity last": ("Transfer-Encoding: chunked, identity",),
    "identity first": ("Transfer-Encoding: identity, chunked",),
    "the same twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "two that differ": ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "two the other way": ("Transfer-Encoding: x", "Transfer-Encoding: chunked"),
    "a space before the colon": ("Transfer-Encoding : chunked",),
    "a space before the name": ("X: y", " Transfer-Encoding: chunked"),
    "folding": ("Transfer-Encoding:", " chunked"),
    "folding behind": ("Transfer-Encoding: chunked", " , identity"),
    "a bare line feed": ("X: y\nTransfer-Encoding: chunked",),
    "a bare carriage return": ("X: y\rTransfer-Encoding: chunked",),
    "an underscore": ("Transfer_Encoding: chunked",),
    "a connection's own": ("Transfer-Encoding: chunked", "Connection: Transfer-Encoding"),
}  # fmt: skip

_LENGTHS: Final = {
    "twice": ("Content-Length: {0}", "Content-Length: {0}"),
    "none, then some": ("Content-Length: 0", "Content-Length: {0}"),
    "some, then none": ("Content-Length: {0}", "Content-Length: 0"),
    "a list": ("Content-Length: {0}, {0}",),
    "a list that differs": ("Content-Length: 0, {0}",),
    "a plus": ("Content-Length: +{0}",),
    "a minus": ("Content-Length: -{0}",),
    "minus nothing": ("Content-Length: -0",),
    "zeros": ("Content-Length: 000{0}",),
    "hexadecimal": ("Content-Length: 0x{0:x}",),
    "an underscore": ("Content-Length: 0_{0}",),
    "a space in it": ("Content-Length: 0 {0}",),
    "a space behind": ("Content-Length: {0} ",),
    "a tab before": ("Content-Length:\t{0}",),
    "a vertical tab": ("Content-Length: \x0b{0}",),
    "a fraction": ("Content-Length: {0}.0",),
    "an exponent": ("Content-Length: 0e{0}",),
    "other digits": ("Content-Length: \xb2{0}",),
    "too large": ("Content-Length: 18446744073709551616{0}",),
    "nothing at all": ("Content-Length:",),
    "a space before the colon": ("Content-Length : {0}",),
    "another name": ("Content_Length: {0}",),
    "folding": ("Content-Length: 0", " {0}"),
    "a bare line feed": ("X: y\nContent-Length: {0}",),
    "a bare carriage return": ("X: y\rContent-Length: {0}",),
    "a connection's own": ("Content-Length: {0}", "Connection: Content-Length"),
    "an expectation": ("Content-Length: {0}", "Expect: 100-continue"),
    "an unknown expectation": ("Content-Length: {0}", "Expect: x"),
    "less than there is": ("Content-Length: 1",),
    "more than there is": ("Content-Length: 99999",),
}

_CHUNKS: Final = {
    "an extension": b"5;x=y\r\nhello\r\n0;z\r\n\r\n",
    "a request for an extension": b"5;x=y GET /metrics HTTP/1.1\r\nhello\r\n0\r\n\r\n",
    "a line feed in an extension": b"2;\nxx\r\n%x\r\n0\r\n\r\n%s" % (_ALL, _SMUGGLED),
    "a carriage return in an extension": b"2;\rxx\r\n%x\r\n0\r\n\r\n%s" % (_ALL, _SMUGGLED),
    "a trailer": b"0\r\nX: y\r\n\r\n" + _SMUGGLED,
    "a length for a trailer": b"0\r\nContent-Length: %d\r\n\r\n%s" % (len(_SMUGGLED), _SMUGGLED),
    "a request for a trailer": b"0\r\n" + _SMUGGLED,
    "a host for a trailer": b"0\r\nHost: other.example\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n",
    "line feeds": b"5\nhello\n0\n\n" + _SMUGGLED,
    "a line feed at the end": b"5\r\nhello\r\n0\r\n\n" + _SMUGGLED,
    "no line end": b"5\r\nhello0\r\n\r\n" + _SMUGGLED,
    "two more bytes than it says": b"5\r\nhelloxx0\r\n\r\n" + _SMUGGLED,
    "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n" + _SMUGGLED,
    "a plus": b"+5\r\nhello\r\n0\r\n\r\n" + _SMUGGLED,
    "a minus": b"-1\r\nhello\r\n0\r\n\r\n" + _SMUGGLED,
    "a space before": b" 5\r\nhello\r\n0\r\n\r\n" + _SMUGGLED,
    "a space behind": b"5 \r\nhello\r\n0\r\n\r\n" + _SMUGGLED,
    "more than 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n" + _SMUGGLED,
    "no size": b"\r\nhello\r\n0\r\n\r\n" + _SMUGGLED,
}  # fmt: skip


def _encodings(length: int | None = None, body: bytes = _CHUNK) -> Iterator[tuple[str, Case]]:
    for name, headers in _ENCODINGS.items():
        if length is None:
            yield name, _post(*headers, body=body)
        else:
            told = f"Content-Length: {length}"
            yield f"{name}, length behind", _post(*headers, told, body=body)
            yield f"{name}, length before", _post(told, *headers, body=body)


def _lengths() -> Iterator[tuple[str, Case]]:
    for name, headers in _LENGTHS.items():
        told = [header.format(len(_SMUGGLED)) for header in headers]
        yield name, _post(*told, body=_SMUGGLED)
        yield f"{name}, of a GET", (_request(PATH, *told) + _SMUGGLED + _LAST,)


def _chunks() -> Iterator[tuple[str, Case]]:
    for name, body in _CHUNKS.items():
        yield name, _post("Transfer-Encoding: chunked", body=body)


_HEAD: Final = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n"

_LINES: Final = {
    "line feeds": _HEAD.replace("\r", "") + "\n",
    "carriage returns": _HEAD.replace("\n", "") + "\r",
    "a line feed for the empty line": f"{_HEAD}X: y\r\n\n",
    "a carriage return for the empty line": f"{_HEAD}X: y\r\r\n",
    "two carriage returns": f"{_HEAD}X: y\r\r\n\r\n",
    "an empty line of a space": f"{_HEAD}X: y\r\n \r\n\r\n",
    "a line feed in a value": f"{_HEAD}X: y\n\nGET /metrics HTTP/1.1\r\n\r\n",
    "a carriage return in a value": f"{_HEAD}X: y\r\rGET /metrics HTTP/1.1\r\n\r\n",
    "a zero byte in a value": f"{_HEAD}X: y\x00z\r\n\r\n",
    "a zero byte in a name": f"{_HEAD}X\x00: y\r\n\r\n",
    "no colon": f"{_HEAD}GET /metrics HTTP/1.1\r\n\r\n",
    "no name": f"{_HEAD}: y\r\n\r\n",
    "a name of spaces": f"{_HEAD}X Y: z\r\n\r\n",
    "folding": f"{_HEAD}X: y\r\n GET /metrics HTTP/1.1\r\n\tHost: x\r\n\r\n",
    "folding of the first": f"GET {PATH} HTTP/1.1\r\n X: y\r\nHost: localhost\r\n\r\n",
    "empty lines before": f"\r\n\r\n\n{_HEAD}\r\n",
    "a byte order mark": f"\xef\xbb\xbf{_HEAD}\r\n",
    "two targets": _HEAD.replace(" HTTP", " /metrics HTTP", 1) + "\r\n",
    "two spaces": _HEAD.replace(" ", "  ") + "\r\n",
    "tabs": _HEAD.replace(" ", "\t") + "\r\n",
    "a version too many": _HEAD.replace("1.1", "1.1 HTTP/1.1", 1) + "\r\n",
    "a version with zeros": _HEAD.replace("1.1", "01.1", 1) + "\r\n",
    "a higher version": _HEAD.replace("1.1", "1.2", 1) + "\r\n",
    "HTTP/2": _HEAD.replace("1.1", "2.0", 1) + "\r\n",
    "HTTP/1.0 that stays": _HEAD.replace("1.1", "1.0", 1) + "Connection: keep-alive\r\n\r\n",
    "HTTP/0.9": "GET /metrics\r\n",
    "small letters": _HEAD.lower() + "\r\n",
    "another method": _HEAD.replace("GET", "GET/metrics", 1) + "\r\n",
    "a method of a header": f"{_HEAD}X-HTTP-Method-Override: CONNECT\r\n\r\n",
}

_HOSTS: Final = {
    "two": _HEAD + "Host: other.example\r\n\r\n",
    "two alike": _HEAD + "Host: localhost\r\n\r\n",
    "two, one folded": _HEAD + " , other.example\r\n\r\n",
    "none": f"GET {PATH} HTTP/1.1\r\n\r\n",
    "an empty one": f"GET {PATH} HTTP/1.1\r\nHost:\r\n\r\n",
    "another": f"GET {PATH} HTTP/1.1\r\nHost: other.example\r\n\r\n",
    "a path": f"GET {PATH} HTTP/1.1\r\nHost: localhost/metrics\r\n\r\n",
    "a path and a query": "GET / HTTP/1.1\r\nHost: localhost/metrics?\r\n\r\n",
    "a user": f"GET {PATH} HTTP/1.1\r\nHost: localhost@other.example\r\n\r\n",
    "a space": f"GET {PATH} HTTP/1.1\r\nHost: localhost /metrics\r\n\r\n",
    "a space before the colon": f"GET {PATH} HTTP/1.1\r\nHost : other.example\r\n\r\n",
    "forwarded": _HEAD + "X-Forwarded-Host: other.example\r\nForwarded: host=x\r\n\r\n",
    "another target": _HEAD + "X-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\n\r\n",
    "a prefix": _HEAD + "X-Forwarded-Prefix: /metrics\r\nX-Script-Name: /metrics\r\n\r\n",
}

_AUTHORITIES: Final = (
    "http://localhost/metrics", "http://localhost/static/../metrics", "http://other.example/",
    "http://other.example/metrics", "http://localhost", "http://localhost?/static/", "http:///",
    "http://localhost#/static/", "http://localhost/static/x", "http://a@localhost/static/x",
    "http://localhost@other.example/", "http:/metrics", "http:metrics", "https://localhost/metrics",
    "http://localhost\\/static/x", "http://localhost:80:81/static/x", "ftp://localhost/static/x",
    "HTTP://LOCALHOST/metrics", "//localhost/metrics", "localhost:80", "*", "static/x", "metrics",
)  # fmt: skip

_PATHS: Final = (
    "/metrics", "/livez", "/readyz", "/asyncapi.json", "//metrics", "///metrics", "/./metrics",
    "/.//metrics", "/metrics/", "/metrics;/static/", "/METRICS", "/%6detrics", "/%6Detrics",
    "/%256detrics", "/%2fmetrics", "/%2e/metrics", "/metrics%2f", "/metrics%00", "/metrics%20",
    "/static/../metrics", "/static/%2e%2e/metrics", "/static/.%2e/metrics", "/static/%2E./metrics",
    "/static/..%2fmetrics", "/static/..%2Fmetrics", "/static%2f..%2fmetrics", "/static/..//metrics",
    "/static//../metrics", "/static//../../metrics", "/static/./../metrics",
    "/static/x/../../metrics",
    "/static/%252e%252e/metrics", "/static/..%252fmetrics", "/static/..;/metrics",
    "/static/..;x=y/metrics", "/api/system/..;/../metrics", "/api/system/..;/..;/metrics",
    "/api/system/%2e%2e/%2e%2e/livez", "/api/system/../../livez", "/api/system/../../../livez",
    "/api/system/..%2f..%2flivez", "/api/system//../..//livez", "/api/../metrics",
    "/metrics/../static/x", "/metrics/..%2fstatic/x", "/metrics/%2e%2e/static/x", "/metrics/../",
    "/livez/..", "/livez/../", "/metrics%2f..%2f", "/static\\..\\metrics", "/static/..\\metrics",
    "/static/..%5cmetrics", "\\metrics", "/\\metrics", "/static/\\../metrics",
    "/static/..%00/metrics", "/static/\x00/../../metrics", "/static/\x01../metrics",
    "/\x00/metrics",
    "/?/../metrics", "/?x=/metrics", "/metrics?/static/", "/metrics?/../static/x",
    "/%3f/../metrics",
    "/static/%3f/../../metrics", "/metrics%3f/../static/x", "/#/../metrics", "/metrics#/static/",
    "/metrics#/../static/x", "/%23/../metrics", "/static/%23/../../metrics",
    "/static/#/../../metrics",
    "/static/%c0%ae%c0%ae/metrics", "/static/..%c0%afmetrics", "/static/%e0%80%ae./metrics",
    "/static/..%ef%bc%8fmetrics", "/static/%u002e%u002e/metrics",
    "/static/\xc0\xae\xc0\xae/metrics",
    "/static/..%", "/static/..%2", "/static/..%zz/metrics", "/openapi.json/../metrics",
    "/openapi.json%0a", "/openapi.json%0d%0a", "/%0a", "/%0a/metrics", "/metrics%0a/static/",
    "/openapi.json/metrics", "/openapi.jsonx", "/static/%0d%0aX:%20y", "/staticx/../metrics",
    f"{PATH}/../../../metrics", f"{PATH}/stream/../../../../metrics",
    f"{PATH}%2f..%2f..%2f../metrics",
)  # fmt: skip

_H2: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FAILING: Final = {
    "a wrong version": handshake(PATH).replace(b"Version: 13", b"Version: 1337"),
    "no version": handshake(PATH).replace(b"Sec-WebSocket-Version: 13\r\n", b""),
    "a wrong key": handshake(PATH).replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"x"),
    "no key": handshake(PATH).replace(b"Sec-WebSocket-Key", b"X"),
    "no token": handshake("/api/system/ws"),
    "a bad parameter": handshake(f"{PATH}?metrics=nothing"),
    "no such route": handshake("/static/x"),
    "a page": handshake("/"),
    "an operators' route": handshake("/metrics"),
    "an operators' route behind": handshake("/static/../metrics"),
    "another protocol": handshake(PATH).replace(b"websocket", b"h2c"),
    "two protocols": handshake(PATH).replace(b"websocket", b"websocket, h2c"),
    "the protocol twice": handshake(PATH, "Upgrade: h2c"),
    "a Connection without it": handshake(PATH).replace(b"Connection: Upgrade", b"Connection: x"),
    "a Connection that closes": handshake(PATH, "Connection: close"),
    "HTTP/2 in the clear": _request(
        PATH, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"
    ),
    "TLS": _request(PATH, "Connection: Upgrade", "Upgrade: TLS/1.0"),
    "a length": handshake(PATH, f"Content-Length: {len(_SMUGGLED)}"),
    "no length": handshake(PATH, "Content-Length: 0"),
    "chunks": handshake(PATH, "Transfer-Encoding: chunked"),
    "another method": handshake(PATH).replace(b"GET", b"POST"),
    "HTTP/1.0": handshake(PATH).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "nothing wrong": handshake(PATH),
    "another method, to a place": _request("localhost:54112", method="CONNECT"),
    "another method, to a path": _request("/metrics", method="CONNECT"),
}  # fmt: skip


def _upgrades() -> Iterator[tuple[str, Case]]:
    for name, head in _FAILING.items():
        yield f"{name}, and at once", (head + _SMUGGLED + _LAST,)
        yield f"{name}, and then", (head, _SMUGGLED + _LAST)
    yield "HTTP/2 without a word", (_H2 + _SMUGGLED,)
    yield "HTTP/2 behind a request", (_request() + _H2 + _SMUGGLED,)
    yield "a request and a handshake", (_request() + handshake(PATH) + _SMUGGLED,)


def _heads(heads: Mapping[str, str]) -> Iterator[tuple[str, Case]]:
    for name, head in heads.items():
        yield name, (head.encode("latin-1") + _SMUGGLED + _LAST,)


def _targets(targets: Sequence[str]) -> Iterator[tuple[str, Case]]:
    for target in targets:
        yield target, (_request(target) + _LAST,)
        yield f"{target}, of another host", (_request(target, host="127.0.0.1") + _LAST,)


CASES: Final[Mapping[str, Mapping[str, Case]]] = {
    "encodings": dict(_encodings()),
    "CL.TE": dict(_encodings(_ALL, b"0\r\n\r\n" + _SMUGGLED)),
    "TE.CL": dict(_encodings(_SIZE)),
    "lengths": dict(_lengths()),
    "chunks": dict(_chunks()),
    "lines": dict(_heads(_LINES)),
    "hosts": dict(_heads(_HOSTS)),
    "authorities": dict(_targets(_AUTHORITIES)),
    "paths": dict(_targets(_PATHS)),
    "upgrades": dict(_upgrades()),
}
