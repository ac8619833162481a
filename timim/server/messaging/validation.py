"""Messages as they were sent, and the checks that each passes, whoever sends it and wherever to. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from ...errors import InvalidArgument, InvalidElem, MessageTooLong, ProtocolError
from ...protocol.codec import encode
from ...protocol.elems import split_body
from ...protocol.entries import PushInfo
from ...protocol.media import MediaRef, media_refs
from ...protocol.merger_elem import RELAY_TYPE, validate_relay
from ...protocol.notices import SERVER_ELEMS

PUSH_LIMIT_BYTES = 4096  # what the push services of phones take


class OutgoingMessage(msgspec.Struct, frozen=True, gc=False):
    """A message as its sender sent it: decoded, not checked yet."""

    sender: str
    msg_body: msgspec.Raw
    msg_seq: int
    random: int
    client_time: int
    cloud_custom_data: str = ""
    priority: str = ""
    origin: int = 0
    lookup_only: bool = False  # it is only asked where it stands
    push: PushInfo | msgspec.UnsetType = msgspec.UNSET
    mentions: tuple[str, ...] = ()  # "": everybody
    receipt: bool = False

    def fingerprint(self) -> bytes:
        """Return a hash by which a resend differs from another message of the same msg_id."""
        digest = hashlib.blake2b(bytes(self.msg_body), digest_size=16)
        digest.update(b"\0" + self.cloud_custom_data.encode())
        return digest.digest()


@dataclass(frozen=True, slots=True)
class MessageValidator:
    """`media_url`: where this server's own content is."""

    max_message_bytes: int
    media_url: str = ""

    def check(self, outgoing: OutgoingMessage) -> tuple[MediaRef, ...]:
        """Check a message's form, and return the content that its elems name.

        The store decides with the entry whether the sender may read that content. Raises InvalidArgument, InvalidElem,
        MessageTooLong.
        """
        size = len(bytes(outgoing.msg_body))
        if size > self.max_message_bytes:
            raise MessageTooLong(f"the message is {size} bytes long, the limit is {self.max_message_bytes}", code=93000)
        if not 0 <= outgoing.random < 1 << 32 or not 0 <= outgoing.client_time < 1 << 32:
            raise InvalidArgument("MsgRandom and MsgClientTime are 32-bit numbers", code=90005)
        if isinstance(outgoing.push, PushInfo) and (size := len(encode(outgoing.push))) > PUSH_LIMIT_BYTES:
            raise MessageTooLong(f"OfflinePushInfo is {size} bytes long, the limit is {PUSH_LIMIT_BYTES}", code=93000)
        try:
            members = split_body(outgoing.msg_body)
        except ProtocolError as exc:
            raise InvalidArgument(exc.info, code=90002) from exc
        if not members:
            raise InvalidElem("MsgBody is empty: a message holds at least one elem", code=90002)
        for member in members:
            if member.msg_type in SERVER_ELEMS:
                raise InvalidElem(f"{member.msg_type} is the server's own: nobody can send it", code=90010)
            if not bytes(member.msg_content).startswith(b"{"):
                raise InvalidElem(f"MsgContent of {member.msg_type} must be an object", code=90010)
            if member.msg_type == RELAY_TYPE:
                validate_relay(member.msg_content)
        return tuple(media_refs(members, self.media_url))
