"""The schemas that both descriptions of the contract have in common."""

from __future__ import annotations

from typing import Final, TypeAlias

from hub.feed.catalog import Catalog
from hub.sampling.metric import Metric

__all__ = ["BEARER", "INFO", "TIMESTAMP", "Object", "family", "refs", "schemas"]

Object: TypeAlias = dict[str, object]

_VERSION: Final = "1.0.0"
INFO: Final = {
    "title": "System metrics",
    "version": _VERSION,
    "description": "One machine's metrics, sampled once an interval for all clients.",
}
TIMESTAMP: Final = {
    "type": "string",
    "format": "date-time",
    "description": "When the sample was taken: RFC 3339, UTC, six fractional digits.",
    "examples": ["2025-11-10T12:30:45.123456+00:00"],
}
_SEQ: Final = {
    "type": "integer",
    "description": "The message's number in its view, one more each time.",
}
_FAILURE: Final[Object] = {
    "type": "object",
    "description": "Sent instead of a sample when a chosen metric could not be collected.",
    "properties": {
        "error": {"type": "string", "maxLength": 200},
        "timestamp": TIMESTAMP,
        "seq": _SEQ,
    },
    "required": ["error", "timestamp"],
    "additionalProperties": False,
}
BEARER: Final[Object] = {
    "type": "http",
    "scheme": "bearer",
    "description": "Browsers send the subprotocols 'metrics.v1, bearer.TOKEN' instead.",
}


def schemas(catalog: Catalog) -> Object:
    """Return the schemas of the messages that there are, by their names."""
    return {"Sample": _sample(catalog), "Failure": _FAILURE}


def _sample(catalog: Catalog) -> Object:
    return {
        "type": "object",
        "description": "The chosen metrics; null is what failed in a partial view.",
        "properties": {
            **{metric.name: family(metric) for metric in catalog.metrics},
            "errors": {
                "type": "object",
                "description": "In a partial view, why a metric is null, by its name; or why one "
                "of its members is absent, as in 'disks//home'.",
                "additionalProperties": {"type": "string", "maxLength": 200},
            },
            "timestamp": TIMESTAMP,
            "seq": _SEQ,
        },
        "required": ["timestamp"],
        "additionalProperties": False,
    }


def family(metric: Metric) -> Object:
    """Return the schema of a metric's values, which may be null.

    Beside it stand their unit, and what OpenTelemetry's semantic conventions call the metric.
    """
    schema: Object = {}
    if metric.description:
        schema["description"] = metric.description
    if metric.unit:
        schema["x-unit"] = metric.unit
    if metric.convention:
        schema["x-opentelemetry"] = metric.convention
    if metric.schema:
        schema["anyOf"] = [dict(metric.schema), {"type": "null"}]
    return schema


def refs(*names: str) -> list[Object]:
    """Return references to schemas."""
    return [{"$ref": f"#/components/schemas/{name}"} for name in names]
