"""Base class of the models that programs make, compare and store."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from .displayed import Displayed

__all__ = ["FrozenModel"]


class _Signature:
    """The signature of a model's constructor, made when it is asked for: each name that can be given, without validators."""

    def __get__(self, instance: object, owner: type[BaseModel]) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("a model cannot be called")
        return inspect.Signature([one for name, field in _nearest_first(owner) for one in _parameters(name, field)])


def _nearest_first(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the fields of a class before those of its bases."""
    seen: set[str] = set()
    for base in model.__mro__:
        for name in vars(base).get("__annotations__", ()):
            if name in model.model_fields and name not in seen:
                seen.add(name)
                yield name, model.model_fields[name]


def _parameters(name: str, field: FieldInfo) -> Iterator[inspect.Parameter]:
    """Yield the parameter of a field, and those of its other names."""
    empty = inspect.Parameter.empty
    default = empty if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
    yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=_plain(field.annotation))
    if isinstance(field.validation_alias, AliasChoices):
        others = [str(one) for one in field.validation_alias.choices if one != name]
        yield from (inspect.Parameter(other, inspect.Parameter.KEYWORD_ONLY, default=default) for other in others)


def _plain(hint: Any) -> Any:
    """Return a type without its rules, which are long and say nothing to a reader."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(map(_plain, get_args(hint)))]  # noqa: UP007  a tuple of members
    return hint


class FrozenModel(BaseModel, Displayed):
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

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        type.__setattr__(cls, "__signature__", _Signature())

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        type.__setattr__(cls, "__signature__", _Signature())  # pydantic's has the validators of each type

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *[value for value in self.__dict__.values() if isinstance(value, str | bytes | int)]))
