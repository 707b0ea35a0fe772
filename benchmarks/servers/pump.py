"""The hub as an application under stock uvicorn, without its own protocol class."""

from __future__ import annotations

from benchmarks.servers.stock import serve
from hub import Settings, create_app

if __name__ == "__main__":
    serve(create_app(Settings(interval=1.0)))
