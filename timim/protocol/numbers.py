"""Numbers on the wire. A number that a database cannot hold is refused where it is decoded."""

from __future__ import annotations

from typing import Annotated

import msgspec

NUMBER_LIMIT = 1 << 62  # databases hold 63 bits and a sign; sums and differences of two numbers have to fit too

Int = Annotated[int, msgspec.Meta(ge=-NUMBER_LIMIT, le=NUMBER_LIMIT)]
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Stored = Annotated[int, msgspec.Meta(ge=0, lt=NUMBER_LIMIT)]  # a seq or a time
Flag = Int | bool  # clients of different origin send 1 or true


def at_most(items: int, *, least: int = 0) -> msgspec.Meta:
    """Return the annotation of a list that declares its limit to readers; a handler refuses more with a code of its own."""
    return msgspec.Meta(extra_json_schema={"maxItems": items} | ({"minItems": least} if least else {}))


def fits(number: int) -> bool:
    """Return True if every database can hold the number."""
    return -NUMBER_LIMIT <= number <= NUMBER_LIMIT
