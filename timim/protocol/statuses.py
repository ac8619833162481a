"""Bodies of user statuses (`im_open_status`): online or not, a text of the user, and subscriptions to them."""

from __future__ import annotations

import base64
import enum

import msgspec

from .codec import Body, Command, Reply
from .numbers import Int


class Presence(enum.IntEnum):
    """The states of a user. OFFLINE stands for all users without a device that is online."""

    ONLINE = 1
    OFFLINE = 2


class SetStatusRequest(Body):
    """A text of the user for `CustomStatus`, up to 256 bytes."""

    text: str = msgspec.field(name="CustomStatus", default="")


class StatusUsersRequest(Body):
    """Users whose status is asked for (up to 500), or subscribed to (up to 100)."""

    users: list[str] = msgspec.field(name="To_Account", default_factory=list)


class UnsubscribeStatusRequest(StatusUsersRequest):
    """Users whose status is not watched any more, up to 100, or with `UnsubscribeAll` all of them."""

    all: Int = msgspec.field(name="UnsubscribeAll", default=0)


class StatusItem(msgspec.Struct, kw_only=True):
    """The status of a user. `CustomStatus` is base64 of the text, which only users who are online have."""

    user: str = msgspec.field(name="To_Account")
    presence: Int = msgspec.field(name="Status", default=int(Presence.OFFLINE))
    encoded: str = msgspec.field(name="CustomStatus", default="")


class FailedStatusItem(msgspec.Struct, kw_only=True):
    """A user without a result, and the reason."""

    user: str = msgspec.field(name="To_Account")
    code: Int = msgspec.field(name="ErrorCode", default=0)
    info: str = msgspec.field(name="ErrorInfo", default="")


class StatusesReply(Reply):
    """The status of each user that exists."""

    items: list[StatusItem] = msgspec.field(name="UserStatusList", default_factory=list)
    failed: list[FailedStatusItem] = msgspec.field(name="ErrorList", default_factory=list)


class StatusErrorsReply(Reply):
    """The users that could not be subscribed to."""

    failed: list[FailedStatusItem] = msgspec.field(name="ErrorList", default_factory=list)


SET_STATUS = Command("im_open_status.ws_set_custom_status", SetStatusRequest, Reply)
GET_STATUSES = Command("im_open_status.ws_get_user_status", StatusUsersRequest, StatusesReply)
SUBSCRIBE_STATUSES = Command("im_open_status.ws_status_subscribe", StatusUsersRequest, StatusErrorsReply)
UNSUBSCRIBE_STATUSES = Command("im_open_status.ws_status_unsubscribe", UnsubscribeStatusRequest, StatusErrorsReply)


def encode_text(text: str) -> str:
    """Return the form in which a status text is sent to clients."""
    return base64.b64encode(text.encode()).decode()


def decode_text(encoded: str) -> str:
    """Return the text of `CustomStatus`; empty for a value that is not base64 of UTF-8."""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return ""


def status_item(user: str, text: str, *, online: bool) -> StatusItem:
    """Return the status of a user, which shows the text only while the user is online."""
    if not online:
        return StatusItem(user=user)
    return StatusItem(user=user, presence=int(Presence.ONLINE), encoded=encode_text(text))
