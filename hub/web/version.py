"""Which version of the hub it is that runs."""

from __future__ import annotations

from importlib import metadata

__all__ = ["installed_version"]


def installed_version() -> str | None:
    """Return the version; None where it runs from a copy of its files that is not installed."""
    try:
        return metadata.version("metrics-hub")
    except metadata.PackageNotFoundError:
        return None
