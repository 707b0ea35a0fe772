"""A process of many feed clients: ``python -m tests.support.client_process PORT COUNT``.

It prints ``ready`` once every client has received its first message, then reads until killed.
"""

from __future__ import annotations

import selectors
import socket
import sys

from tests.support.clients import handshake
from tests.support.servers import PATH


def main(port: int, count: int) -> None:
    selector = selectors.DefaultSelector()
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(handshake(PATH))
        selector.register(sock, selectors.EVENT_READ)
    waiting = set(selector.get_map())
    while True:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            if b'"timestamp"' in key.fileobj.recv(65536) and key.fd in waiting:
                waiting.remove(key.fd)
                if not waiting:
                    sys.stdout.write("ready\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
