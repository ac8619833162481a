"""Messages as sent by users, and the checks of their form, which depend on neither sender nor destination. No I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from ...errors import InvalidArgument, InvalidElem, MessageTooLong, ProtocolError
from ...protocol.codec import encode
from ...protocol.elems import split_body
from ...protocol.entries import PushInfo
from ...protocol.media import MEDIA_ELEMS, MediaRef, media_refs
from ...protocol.merger_elem import RELAY_TYPE, validate_relay
from ...protocol.notices import SERVER_ELEMS
from ...protocol.numbers import fits
from ...protocol.raw_json import check_body
from .send_options import PLAIN, SendOptions

PUSH_LIMIT_BYTES = 4096  # the limit of the push services of phones


class OutgoingMessage(msgspec.Struct, frozen=True, gc=False):
    """A decoded but unchecked message of a user.

    Attributes:
        source: Third part of the msg_id, or 0.
        origin: Number of the sender's session, or 0.
        lookup_only: Look up the seq of a stored message instead of sending.
        mentions: The mentioned users; "" means all members.
        receipt: Request read receipts.
        options: Restrictions of the receivers and of the effects.
        admin: The administrator who sends it over REST; "" for a user.
        repeat_key: Number that names the message over REST, or 0.
        repeat_s: Time in which a message with this `repeat_key` is a repetition.
    """

    sender: str
    msg_body: msgspec.Raw
    msg_seq: int
    random: int
    client_time: int
    source: int = 0
    cloud_custom_data: str = ""
    priority: str = ""
    origin: int = 0
    lookup_only: bool = False
    push: PushInfo | msgspec.UnsetType = msgspec.UNSET
    mentions: tuple[str, ...] = ()
    receipt: bool = False
    options: SendOptions = PLAIN
    admin: str = ""
    repeat_key: int = 0
    repeat_s: int = 0

    def fingerprint(self) -> bytes:
        """Return a hash of the content, which distinguishes a resend from another message with the same msg_id."""
        digest = hashlib.blake2b(b"%b\0%b" % (self.msg_body, self.cloud_custom_data.encode()), digest_size=16)
        if self.options.receivers:
            digest.update("\0".join(("", *sorted(self.options.receivers))).encode())
        return digest.digest()


@dataclass(frozen=True, slots=True)
class MessageValidator:
    """Checker of the form of messages. `media_url` is the URL under which this server serves media content."""

    max_message_bytes: int
    media_url: str = ""

    def check(self, outgoing: OutgoingMessage) -> tuple[MediaRef, ...]:
        """Check the form of a message, and return the media content that its elems refer to.

        The store checks in the transaction of the entry that the sender may read that content.

        Raises:
            MessageTooLong: The message or its OfflinePushInfo is over its limit (93000).
            InvalidElem: An elem is malformed, or reserved for the server (90002, 90010).
            InvalidArgument: Another field is malformed (90002, 90005).
        """
        self._check_size(outgoing)
        check_name(outgoing)
        if isinstance(outgoing.push, PushInfo) and not fits(outgoing.push.push_flag):
            raise InvalidArgument("PushFlag of OfflinePushInfo must be 0 or 1", code=90005)
        try:
            check_body(bytes(outgoing.msg_body))
            members = split_body(outgoing.msg_body)
        except ProtocolError as exc:
            raise InvalidArgument(exc.info, code=90002) from exc
        if not members:
            raise InvalidElem("MsgBody is empty; a message needs at least one elem", code=90002)
        refers = False
        for member in members:
            refers |= member.msg_type in MEDIA_ELEMS
            if member.msg_type in SERVER_ELEMS:
                raise InvalidElem(f"{member.msg_type} is reserved for the server and cannot be sent", code=90010)
            if not bytes(member.msg_content).startswith(b"{"):
                raise InvalidElem(f"MsgContent of {member.msg_type} must be a JSON object", code=90010)
            if member.msg_type == RELAY_TYPE:
                validate_relay(member.msg_content)
        return tuple(media_refs(members, self.media_url)) if refers else ()

    def _check_size(self, outgoing: OutgoingMessage) -> None:
        push_size = 0
        if isinstance(outgoing.push, PushInfo) and (push_size := len(encode(outgoing.push))) > PUSH_LIMIT_BYTES:
            raise MessageTooLong(f"OfflinePushInfo is {push_size} bytes long; the limit is {PUSH_LIMIT_BYTES}", code=93000)
        size = len(bytes(outgoing.msg_body)) + push_size
        if outgoing.cloud_custom_data:
            size += len(outgoing.cloud_custom_data.encode())
        if size > self.max_message_bytes:
            raise MessageTooLong(
                f"MsgBody, CloudCustomData and OfflinePushInfo are {size} bytes long together; "
                f"the limit is {self.max_message_bytes}",
                code=93000,
            )


def check_name(outgoing: OutgoingMessage) -> None:
    """Check the numbers of a message's msg_id.

    Raises:
        InvalidArgument: A number is out of its range (90005).
    """
    if not 0 <= outgoing.random < 1 << 32 or not 0 <= outgoing.client_time < 1 << 32:
        raise InvalidArgument("MsgRandom and MsgClientTime must be 0 to 4294967295", code=90005)
    if not 0 <= outgoing.source < 1 << 31:
        raise InvalidArgument("TimelineMsgSource must be 0 to 2147483647", code=90005)
