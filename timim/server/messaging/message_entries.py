"""The entry of a message: its kind, its control and its payload. No I/O."""

from __future__ import annotations

import msgspec

from ...protocol.entries import EntryPayload, MentionItem, MessageControl
from ..integrations.before import ApprovedMessage
from ..store.base import HIDDEN, MESSAGE, TARGETED, UNCOUNTED, UNLISTED, StoredAccount
from .send_options import PLAIN, SendOptions
from .validation import OutgoingMessage


def kind_of(options: SendOptions) -> int:
    if options is PLAIN:
        return MESSAGE
    if options.targeted:
        return TARGETED
    match options.control.no_unread, options.control.no_last:
        case 0, 0:
            return MESSAGE
        case _, 0:
            return UNCOUNTED
        case 0, _:
            return UNLISTED
        case _:
            return HIDDEN


def control_of(options: SendOptions) -> MessageControl | msgspec.UnsetType:
    """Return the control of a message for the receivers. A message to some members is not counted as unread."""
    if options.targeted:
        return MessageControl(no_unread=1, no_last=options.control.no_last)
    return options.control if options.control != PLAIN.control else msgspec.UNSET


def payload_of(
    outgoing: OutgoingMessage, approved: ApprovedMessage, sender: StoredAccount, audience: tuple[str, ...] = ()
) -> EntryPayload:
    payload = EntryPayload(
        from_account=outgoing.sender,
        msg_seq=outgoing.msg_seq,
        msg_random=outgoing.random,
        client_time=outgoing.client_time,
        source=outgoing.source,
        tiny_id=str(sender.tiny_id),
        nick=sender.nickname,
        face_url=sender.face_url,
        custom=sender.custom,
        priority=outgoing.priority,
        cloud_custom_data=approved.cloud_custom_data,
        push=outgoing.push,
        receipt=int(outgoing.receipt),
        msg_body=approved.msg_body,
    )
    if outgoing.mentions:
        payload.mentions = [MentionItem(account=user) if user else MentionItem(all_flag=1) for user in outgoing.mentions]
    if (options := outgoing.options) is not PLAIN:
        payload.control = control_of(options)
        payload.audience = audience
        payload.life_s = options.life_s
        payload.unreported = int(options.unreported)
        payload.extensible = int(options.extensible)
    return payload
