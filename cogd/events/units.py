"""Types of events' fields that carry their unit and bounds into the JSON Schema.

A field's unit is `unit` in the schema: "s", "ms", "1" for pure numbers. A field whose name ends in `_s`, `_ms`, `_us`,
`_hz`, `_m` or `_dbm` needs none of these types for it.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=0, extra_json_schema={"unit": "1"})]
"""How many; also a serial number."""

Number = Annotated[float, Meta(extra_json_schema={"unit": "1"})]
"""A number without a dimension."""

Probability = Annotated[float, Meta(ge=0, le=1, extra_json_schema={"unit": "1"})]

Seconds = Annotated[float, Meta(ge=0, extra_json_schema={"unit": "s"})]
"""A duration."""

UnixTime = Annotated[float, Meta(extra_json_schema={"unit": "s"})]
"""Seconds since 1970-01-01T00:00:00Z, without leap seconds."""

Origin = Annotated[str, Meta(examples=["live", "replayed", "simulated"])]
"""Where frames come from; the values of `cogd.csi.frame.Origin`."""
