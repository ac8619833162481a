"""Online messages: messages for the devices that are online now, which are not stored and get no seq."""

from __future__ import annotations

import asyncio

from ..ids import ConversationKey
from ..message import Message, MessageStatus
from ..protocol import messages as wire
from ..protocol.elems import encode_body
from ..storage import LocalStore
from ..transport.connection import Connection
from .attachments import Attachments
from .binding import ClientBinder
from .config import ClientConfig
from .send_requests import c2c_body, check_size, check_unsent, claim


class OnlineMessages:
    """Sends the online messages of this device."""

    def __init__(
        self, config: ClientConfig, store: LocalStore, connection: Connection, attachments: Attachments, binder: ClientBinder
    ) -> None:
        self._user_id = config.user_id
        self._timeout_s = config.timeout_s
        self._store = store
        self._connection = connection
        self._attachments = attachments
        self._binder = binder

    async def send(self, key: ConversationKey, message: Message) -> Message:
        """Send an online message. Raises ConnectionFailed without a connection."""
        self._store.check_open()
        check_unsent(message)
        claim(message, key, sender=self._user_id, now_s=self._connection.server_time())
        self._binder.bind(message)
        given = message.elems
        try:
            await self._attachments.upload(message, None)
            link = self._connection.link()
            encoded = encode_body(message.elems)
            check_size(self._connection.server_info, message, encoded, None)
            body = c2c_body(message, key.peer, encoded, None, sender=self._user_id)
            body.msg_life_time = 0
            reply = await link.call(wire.SEND_C2C, body, timeout_s=self._timeout_s)
        except BaseException:
            message._status = MessageStatus.FAILED
            if message.elems is given:
                await asyncio.shield(self._attachments.discard(message))
            raise
        message._timestamp, message._status = reply.msg_time, MessageStatus.SUCCEEDED
        return message
