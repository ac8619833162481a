"""Properties of groups in requests: their limits, and the group of a request that creates one."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from ...errors import InvalidArgument
from ...ids import checked_group_id
from ...protocol import groups as wire
from ..social.group_permissions import BY_APPROVAL, CLOSED, FREE, JOINING_FIXED, KINDS
from ..social.group_rules import merged
from ..store.base import Member, StoredGroup
from .registry import RequestContext

NAME_LIMIT_BYTES = 30
TEXT_LIMITS_BYTES = {"introduction": 240, "notification": 300, "face_url": 500}
CUSTOM_LIMIT = 20
GENERATED_ID, COMMUNITY_ID = "@TGS#", "@TGS#_"  # begins of ids; the web client knows a Community by its id
KEY_LIMIT_BYTES = 32
VALUE_LIMIT_BYTES = 4000


def bad(text: str, code: int = 10004) -> InvalidArgument:
    """Return the error of an invalid parameter, with Tencent's code for groups."""
    return InvalidArgument(text, code=code)


def fields_of(fields: Iterable[wire.CustomField]) -> dict[str, str]:
    """Return custom fields as a dictionary.

    Raises:
        InvalidArgument: A key or a value is too long, or a key is empty.
    """
    found = {field.key: field.value for field in fields}
    for key, value in found.items():
        if not 0 < len(key.encode()) <= KEY_LIMIT_BYTES or len(value.encode()) > VALUE_LIMIT_BYTES:
            raise bad(f"field {key[:40]!r}: Key must be 1 to {KEY_LIMIT_BYTES} bytes long, Value at most {VALUE_LIMIT_BYTES}")
    return found


def checked_name(name: str) -> str:
    """Return the name of a group. Raises InvalidArgument if it is empty or too long."""
    if not 0 < len(name.encode()) <= NAME_LIMIT_BYTES:
        raise bad(f"Name must be 1 to {NAME_LIMIT_BYTES} bytes long, not {len(name.encode())}")
    return name


def checked_text(field: str, text: str) -> str:
    """Return a property of a group. Raises InvalidArgument if it is too long."""
    if (size := len(text.encode())) > TEXT_LIMITS_BYTES[field]:
        raise bad(f"{field} is {size} bytes long; the limit is {TEXT_LIMITS_BYTES[field]}")
    return text


def checked_joining(type: str, option: str) -> str:
    """Return the ApplyJoinOption of a group of a type. Raises InvalidArgument if it is unknown or fixed for the type."""
    if option and option not in (FREE, BY_APPROVAL, CLOSED):
        raise bad(f"ApplyJoinOption must be one of {FREE}, {BY_APPROVAL}, {CLOSED}, not {option!r}")
    if option and KINDS[type] in JOINING_FIXED:
        raise bad(f"ApplyJoinOption is fixed for a {type} group; leave it out")
    return option


def new_group(
    context: RequestContext, body: wire.CreateGroupRequest, owner: str, members: dict[str, Member], *, created: int
) -> StoredGroup:
    """Return the group of a checked request.

    Raises:
        InvalidArgument: Its id or one of its properties is invalid.
    """
    fixed = context.admin and KINDS[body.type] in JOINING_FIXED  # some REST clients name an option for every group
    generated = COMMUNITY_ID if KINDS[body.type] == "Community" else GENERATED_ID
    try:
        group_id = checked_group_id(body.group_id) if body.group_id else generated + secrets.token_hex(8).upper()
    except InvalidArgument as exc:
        raise bad(exc.info, code=10015) from exc
    return StoredGroup(
        group_id,
        body.type,
        checked_name(body.name),
        owner,
        created,
        members,
        introduction=checked_text("introduction", body.introduction),
        notification=checked_text("notification", body.notification),
        face_url=checked_text("face_url", body.face_url),
        apply_option="" if fixed else checked_joining(body.type, body.apply_option),
        max_members=body.max_members,
        custom=merged({}, fields_of(body.custom), CUSTOM_LIMIT, "custom fields"),
        has_topics=bool(body.has_topics),
    )
