"""The ASGI application: routes, the way in, and what carries frames to clients."""

__all__: list[str] = []
