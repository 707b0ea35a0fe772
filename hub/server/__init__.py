"""Running the hub under uvicorn: the listening socket, the server, and its way to the socket."""

from hub.server.broadcast import BroadcastProtocol

__all__ = ["BroadcastProtocol"]
