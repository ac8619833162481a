"""The fields of every command, read from its struct, and requests that are valid but for one of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect

from timim.server.handlers import ALL_HANDLERS

Path: TypeAlias = tuple[str | int, ...]
Json: TypeAlias = Any
PEER, SELF, MEMBER = "bob", "alice", "carol"
TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hello"}}]
# by the name of the field on the wire; a field without a row here gets a value of its type
VALID: dict[str, Json] = {
    "To_Account": PEER,
    "Peer_Account": PEER,
    "From_Account": SELF,
    "Operator_Account": SELF,
    "Member_Account": MEMBER,
    "NewOwner_Account": MEMBER,
    "MsgBody": TEXT,
    "Type": "Public",
    "Name": "team",
    "Reaction": "+1",
    "MsgKey": "1_1_1",
    "TimelineRange": [1, 10],
    "SyncOtherMachine": 1,
    "MsgClientTime": 1_700_000_000,
    "SendMsgControl": ["NoUnread"],
    "HandleMsg": "Agree",
    "Applicant_Account": PEER,
    "Invited_Account": PEER,
}
LISTS_OF_ACCOUNTS = {"MemberToDel_Account", "Member_List_Account"}
LEFT_OUT = {"SupportMessageExtension", "ForbidCallbackControl", "TopicId", "IsNeedReadReceipt", "OnlineOnlyFlag", "TimelineAsk"}
EDGES = [1 << n for n in (31, 32, 53, 62, 63, 64)]
NUMBERS: list[Json] = [
    *(edge + step for edge in EDGES for step in (-1, 0, 1)),
    *(-edge - step for edge in EDGES for step in (-1, 0, 1)),
    0,
    -1,
    10**30,
    -(10**30),
    10**400,
    str(1 << 63),
    str(10**30),
    0.5,
    1e300,
    True,
    None,
]
OTHERS: list[Json] = [
    "",
    "x",
    "\x1f",
    "\x00",
    "中" * 400,
    "%s'\";--",
    "../..",
    [],
    [[]],
    {},
    {"": None},
    ["x"] * 600,
    [0] * 600,
]


@dataclass(frozen=True)
class Field:
    """One field of a command, at any depth, and its type."""

    command: str
    path: Path
    type: inspect.Type

    def __str__(self) -> str:
        return f"{self.command} {'.'.join(map(str, self.path))}"


def commands() -> list[str]:
    return sorted(ALL_HANDLERS.served)


def valid_body(command: str, group_id: str) -> dict[str, Json]:
    """Return a body with a value for each field of a command."""
    info = inspect.type_info(ALL_HANDLERS.served[command][0].body)
    body: dict[str, Json] = _valid(info, "", group_id)
    return body


def _valid(kind: inspect.Type, name: str, group_id: str) -> Json:
    match kind:
        case inspect.Metadata(type=inner):
            return _valid(inner, name, group_id)
        case inspect.StructType(fields=fields):
            return {f.encode_name: _valid(f.type, f.encode_name, group_id) for f in fields if f.encode_name not in LEFT_OUT}
        case inspect.ListType(item_type=item):
            return [_valid(item, name if isinstance(item, inspect.StrType) else "", group_id)]
        case inspect.UnionType(types=types) if name not in VALID:
            return _valid(types[0], name, group_id)
        case inspect.DictType():
            return {}
        case _ if name.startswith("GroupId"):
            return group_id
        case _ if name in LISTS_OF_ACCOUNTS:
            return MEMBER
        case inspect.IntType() if name == "Type":  # of a conversation
            return 1
        case _ if name in VALID:
            return VALID[name]
        case inspect.IntType():
            return 1
        case _:
            return ""


def fields(command: str) -> Iterator[Field]:
    """Yield every field of a command, the members of arrays and objects too."""
    yield from _fields(command, (), inspect.type_info(ALL_HANDLERS.served[command][0].body))


def _fields(command: str, path: Path, kind: inspect.Type) -> Iterator[Field]:
    if path:
        yield Field(command, path, kind)
    if isinstance(kind, inspect.Metadata):  # of a list with a declared limit
        kind = kind.type
    match kind:
        case inspect.StructType(fields=members):
            for member in members:
                yield from _fields(command, (*path, member.encode_name), member.type)
        case inspect.ListType(item_type=item):
            yield from _fields(command, (*path, 0), item)
        case inspect.TupleType(item_types=items):
            for number, item in enumerate(items):
                yield from _fields(command, (*path, number), item)
        case inspect.UnionType(types=types):
            for one in types:
                if isinstance(one, inspect.StructType):
                    yield from _fields(command, path, one)
        case _:
            pass


def fields_of(kind: type[msgspec.Struct]) -> list[Field]:
    """Return every field of a struct, the members of arrays and objects too."""
    return list(_fields(kind.__name__, (), inspect.type_info(kind)))


def with_value(body: dict[str, Json], path: Path, value: Json) -> dict[str, Json]:
    """Return a copy of a body with one field changed; missing objects on the way are added."""
    changed = copy.deepcopy(body)
    at: Json = changed
    for number, step in enumerate(path[:-1]):
        following = path[number + 1]
        if isinstance(step, str) and not isinstance(at.get(step), list if isinstance(following, int) else dict):
            new: Json = {}
            if isinstance(following, int):
                new = [1, 10] if number + 2 == len(path) else [{}]
            at[step] = new
        at = at[step]
    at[path[-1]] = value
    return changed


def encoded(body: Json) -> bytes:
    """Return a body as JSON, also with numbers that msgspec cannot encode."""
    return json.dumps(body).encode()


def random_request(random: Random, group_id: str) -> tuple[str, bytes]:
    """Return a command and a body with some fields changed at random."""
    command = random.choice(commands())
    body = valid_body(command, group_id)
    changeable = list(fields(command))
    for field in random.sample(changeable, min(len(changeable), random.randint(0, 3))):
        with suppress(LookupError, TypeError, AttributeError):  # another change took away what contains this field
            body = with_value(body, field.path, random.choice(NUMBERS if random.random() < 0.5 else OTHERS))
    raw = encoded(body)
    if random.random() < 0.1:  # a byte that may break the encoding or the syntax
        at = random.randrange(len(raw))
        raw = raw[:at] + bytes([random.randrange(256)]) + raw[at + 1 :]
    return command, raw


def unbounded_integers(kind: type[msgspec.Struct]) -> list[Path]:
    """Return the fields of a struct that take numbers which no database can hold: integers without a bound, and any values."""
    return [
        field.path
        for field in _fields("", (), inspect.type_info(kind))
        if isinstance(field.type, inspect.AnyType)
        or (
            isinstance(field.type, inspect.IntType)
            and (field.type.ge is None or (field.type.le is None and field.type.lt is None))
        )
    ]
