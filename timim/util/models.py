"""Base class of the models that programs make, compare and store."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["FrozenModel"]


class FrozenModel(BaseModel):
    """Frozen model without unknown fields, whose JSON has bytes in base64.

    Two models are equal if their fields are equal. Private attributes, such as the client of an elem, do not count.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        defer_build=True,  # at the first use, so that importing timim stays fast
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *[value for value in self.__dict__.values() if isinstance(value, str | bytes | int)]))
