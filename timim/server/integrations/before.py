"""The callbacks before an event: the back end may refuse it, drop it, or change it.

The request waits for the reply. The handler decides after the reply from the values of that time, because the wait can be long.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from ...errors import ServerRefused
from ...protocol import callbacks as names
from ..social.cached_reads import current
from ..social.callers import current_caller
from .webhooks import Webhook, WebhookFailed, WebhookReply

log = logging.getLogger("timim.server")
DENIED_C2C, DENIED_GROUP, DENIED_SNS = 20006, 10016, 38000
DROPPED = 2  # ErrorCode with which a message is dropped, while its sender sees a success
_OWN_CODES = {  # codes that reach the client, by service
    "C2C": (range(120_001, 130_001),),
    "Group": (range(10_100, 10_201), range(120_001, 130_001)),
    "Sns": (range(38_000, 39_001),),
}
_DENIED = {"C2C": DENIED_C2C, "Group": DENIED_GROUP, "Sns": DENIED_SNS}
_BEFORE = {False: names.BEFORE_C2C, True: names.BEFORE_GROUP}


class ApprovedMessage(msgspec.Struct, frozen=True, gc=False):
    """The content with which a message may be stored. `dropped`: the message is not stored, but its sender sees a success."""

    msg_body: msgspec.Raw
    cloud_custom_data: str
    dropped: bool = False


class BeforeCallbacks:
    """Makes the callbacks before events.

    Args:
        webhook: Client of the back end.
        commands: Callbacks that the settings name.
        required: Refuse the event while the back end does not respond, instead of accepting it.
    """

    def __init__(self, webhook: Webhook, commands: frozenset[str], *, required: bool) -> None:
        self._webhook = webhook
        self._commands = commands
        self._required = required

    def wants(self, command: str) -> bool:
        """Return True if the settings name a callback."""
        return command in self._commands

    def applies(self, *, group: bool) -> bool:
        """Return True if messages to groups, or C2C messages, need the callback."""
        return _BEFORE[group] in self._commands

    async def ask(self, command: str, body: Mapping[str, object]) -> WebhookReply:
        """Ask the back end about an event. A request that is decided again asks once.

        Returns:
            The reply, which accepts the event; an empty one if the back end did not respond.

        Raises:
            ServerRefused: The back end refused the event, with its own code or that of the service: 20006 (C2C),
                10016 (groups), 38000 (relations). If `required`, also because the back end did not respond.
        """
        reads = current()
        known = reads.notes.get(command) if reads is not None else None
        reply = known if isinstance(known, WebhookReply) else await self._ask(command, body)
        if reads is not None:
            reads.notes[command] = reply
        if reply.error_code:
            raise refusal(command, reply.error_code, reply.error_info)
        return reply

    async def ask_about_message(
        self, facts: Mapping[str, object], body: msgspec.Raw, cloud_custom_data: str, *, group: bool
    ) -> ApprovedMessage:
        """Ask the back end about a message, and return the content that may be stored.

        Raises:
            ServerRefused: The back end refused the message, with its own code (120001 to 130000, in a group also
                10100 to 10200) or 20006 (C2C) and 10016 (group). If `required`, also because the back end did not respond.
        """
        command = _BEFORE[group]
        verdict = await self._ask(command, {**facts, "MsgBody": body, "CloudCustomData": cloud_custom_data})
        if verdict.error_code == DROPPED:
            return ApprovedMessage(body, cloud_custom_data, dropped=True)
        if verdict.error_code:
            raise refusal(command, verdict.error_code, verdict.error_info)
        return ApprovedMessage(
            verdict.msg_body if isinstance(verdict.msg_body, msgspec.Raw) else body,
            verdict.cloud_custom_data if isinstance(verdict.cloud_custom_data, str) else cloud_custom_data,
        )

    async def _ask(self, command: str, body: Mapping[str, object]) -> WebhookReply:
        caller = current_caller()
        try:
            return await self._webhook.call(command, body, client_ip=caller.client_ip, platform=caller.platform)
        except WebhookFailed as exc:
            if self._required:
                text = "the operator's back end did not respond; nothing was stored, try again later"
                raise ServerRefused(text, code=_DENIED[command.partition(".")[0]]) from exc
            log.warning("accepted an event of %s although its callback failed: %s", caller.user or "a user", exc.info)
            return WebhookReply()


def refusal(command: str, code: int, info: str) -> ServerRefused:
    """Return the error of an event that the back end refused: with its own code, if the service allows it."""
    service = command.partition(".")[0]
    own = any(code in codes for codes in _OWN_CODES[service])
    text = info or "the operator's back end refused this without a reason"
    return ServerRefused(text, code=code if own else _DENIED[service])
