"""The options of a message that restrict its receivers or its effects, from the fields of Tencent's requests.

A field that Tencent Chat knows and timim does not serve is refused, so that no sender relies on an effect that does not happen.
"""

from __future__ import annotations

import msgspec

from ...errors import InvalidArgument
from ...ids import checked_user_id
from ...protocol.entries import MessageControl
from ...protocol.messages import NO_CONTROL, ControlField, SendC2CRequest, SendGroupRequest

LIFE_LIMIT_S = 7 * 86_400  # Tencent's longest MsgLifeTime; a longer one counts as this one
RECEIVERS_LIMIT = 50
NOT_TO_SENDER = 2  # a value of SyncOtherMachine
_CONTROLS = ("NoUnread", "NoLastMsg", "WithMuteNotifications", "NoMsgCheck")
_CALLBACKS = ("ForbidBeforeSendMsgCallback", "ForbidAfterSendMsgCallback")
_C2C, _GROUP = 90001, 10004  # Tencent's codes of an invalid parameter


class SendOptions(msgspec.Struct, frozen=True, gc=False):
    """The options of one message.

    Attributes:
        online: Push the message to devices that are online now, and do not store it.
        receivers: The only members of the group who get the message; all members if it is empty.
        control: The effects that the message does not have.
        life_s: Seconds after which the message is not delivered as new; 0 for no limit.
        unasked: Make no callback before sending.
        unreported: Make no callback after sending.
        extensible: Users may set extensions of the message.
        unsynced: The sender of the C2C message gets no copy of it, neither now nor later.
    """

    online: bool = False
    receivers: tuple[str, ...] = ()
    control: MessageControl = NO_CONTROL
    life_s: int = 0
    unasked: bool = False
    unreported: bool = False
    extensible: bool = False
    unsynced: bool = False

    @property
    def targeted(self) -> bool:
        """True if only some members of the group get the message."""
        return bool(self.receivers)


PLAIN = SendOptions()


def c2c_options(body: SendC2CRequest, *, admin: bool = False, rest: bool = False) -> SendOptions:
    """Return the options of a C2C message.

    Args:
        body: The request.
        admin: An administrator sends it, who may omit callbacks.
        rest: The request came over REST, where the sender's account may be left out.

    Raises:
        InvalidArgument: A field has a value that is not served (90001).
    """
    if _is_plain(body):
        return PLAIN
    unsynced = admin and rest and body.sync_other_machine == NOT_TO_SENDER
    if not unsynced and body.sync_other_machine not in (0, 1):
        only = "or 2 " if rest else ""
        text = f"SyncOtherMachine {body.sync_other_machine} is not supported; leave it out, or set it to 1 {only}".rstrip()
        raise InvalidArgument(text, code=_C2C)
    callbacks = _omitted_callbacks(body.without_callbacks, _C2C, admin=admin)
    life = body.msg_life_time
    if not isinstance(life, msgspec.UnsetType) and life < 0:
        raise InvalidArgument(f"MsgLifeTime must be 0 (online message) or more seconds, not {life}", code=_C2C)
    online = bool(body.online_only) or life == 0
    control = _control(body.control, _C2C)
    extensible = bool(body.extensible)
    rare = (*callbacks, extensible, unsynced)
    if isinstance(life, msgspec.UnsetType) and not online and control is NO_CONTROL and not any(rare):
        return PLAIN
    life_s = min(life, LIFE_LIMIT_S) if not isinstance(life, msgspec.UnsetType) and not online else 0
    return SendOptions(online, (), control, life_s, *rare)


def _is_plain(body: SendC2CRequest) -> bool:
    """Return True if a request has no options, as nearly all requests."""
    return not (
        body.extensible
        or body.online_only
        or body.without_callbacks
        or body.control is not NO_CONTROL
        or body.msg_life_time is not msgspec.UNSET
        or body.sync_other_machine != 1
    )


def group_options(body: SendGroupRequest, *, admin: bool = False) -> SendOptions:
    """Return the options of a message to a group; only those of an administrator can omit callbacks.

    Raises:
        InvalidArgument: A field has a value that is not served, or To_Account has too many accounts (10004).
    """
    callbacks = _omitted_callbacks(body.without_callbacks, _GROUP, admin=admin)
    control = _control(body.control, _GROUP)
    extensible = bool(body.extensible)
    if not body.receivers and not body.online_only and control is NO_CONTROL and not any((*callbacks, extensible)):
        return PLAIN
    if len(body.receivers) > RECEIVERS_LIMIT:
        text = f"To_Account has {len(body.receivers)} accounts; the limit is {RECEIVERS_LIMIT}; send several messages"
        raise InvalidArgument(text, code=_GROUP)
    receivers = tuple(dict.fromkeys(checked_user_id(user) for user in body.receivers))
    if receivers and body.receipt:
        raise InvalidArgument("NeedReadReceipt is not supported with To_Account; leave one of them out", code=_GROUP)
    return SendOptions(bool(body.online_only), receivers, control, 0, *callbacks, extensible)


def _omitted_callbacks(named: list[str], code: int, *, admin: bool) -> tuple[bool, bool]:
    """Return if a message omits the callback before sending, and the one after sending."""
    if named and not admin:
        raise InvalidArgument(
            "ForbidCallbackControl is not supported; leave it out: all configured callbacks are made", code=code
        )
    if unknown := [name for name in named if name not in _CALLBACKS]:
        text = f"ForbidCallbackControl {unknown[0][:40]!r} is not supported; use {', '.join(_CALLBACKS)}"
        raise InvalidArgument(text, code=code)
    return _CALLBACKS[0] in named, _CALLBACKS[1] in named


def _control(field: ControlField, code: int) -> MessageControl:
    """Return the control of either form. Two names change nothing: muted receivers get no push, nothing is moderated."""
    if isinstance(field, MessageControl):
        excluded = MessageControl(no_unread=int(bool(field.no_unread)), no_last=int(bool(field.no_last)))
        return excluded if excluded != NO_CONTROL else NO_CONTROL
    if unknown := [name for name in field if name not in _CONTROLS]:
        text = f"SendMsgControl {unknown[0][:40]!r} is not supported; use {', '.join(_CONTROLS)}"
        raise InvalidArgument(text, code=code)
    control = MessageControl(no_unread=int("NoUnread" in field), no_last=int("NoLastMsg" in field))
    return control if field else NO_CONTROL
