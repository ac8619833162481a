"""Actions on messages: on this device only (custom fields, deletion), and for everybody (recall, edit, reactions).

An action for everybody has a unique id, like a message. If the reply is lost, the request is repeated with the same id,
and the server executes the action once. The reply is applied to the row before the caller continues.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from ..elems import Progress
from ..errors import ConnectionFailed, InvalidArgument, InvalidConversation, RequestTimeout
from ..ids import ConversationKey, ConversationType, MsgId, parse_msg_id
from ..message import Message, MessageStatus, OfflinePush, Reader
from ..protocol import conversation_settings
from ..protocol import message_actions as wire
from ..protocol.codec import Request, decode
from ..protocol.coverage import Interval
from ..protocol.elems import encode_body
from ..protocol.entries import Entry
from ..protocol.messages import Address
from ..storage import IngestBatch, LocalStore
from ..transport.connection import Connection
from ..util.msg_ids import MSG_IDS
from .attachments import Attachments
from .conversations import ConversationIndex
from .decoding import decode_action
from .deletions import Deletions
from .handler_sends import HandlerSends
from .history import add_quote
from .inbox import Inbox
from .message_extensions import ExtensionRequests

RETRY_S = 0.2  # between attempts, until the loss of the connection is detected
READERS_PAGE = 100


class MessageActions:
    """The actions that `timim.Message` offers; implements `timim.message.MessageVerbs`."""

    def __init__(
        self,
        store: LocalStore,
        connection: Connection,
        attachments: Attachments,
        conversations: ConversationIndex,
        inbox: Inbox,
        sends: HandlerSends,
        deletions: Deletions,
    ) -> None:
        self._user_id = connection.user_id
        self._timeout_s = connection.timeout_s
        self._store = store
        self._connection = connection
        self._attachments = attachments
        self._conversations = conversations
        self._inbox = inbox
        self._sends = sends
        self._deletions = deletions
        self._live = conversations.live

    async def set_custom_int(self, message: Message, value: int) -> None:
        """Store this device's own number on a message. Raises InvalidArgument, StorageError."""
        await asyncio.shield(asyncio.create_task(self._set_custom_int(message, value)))

    async def set_custom_data(self, message: Message, value: bytes) -> None:
        """Store this device's own bytes on a message. Raises InvalidArgument, StorageError."""
        await asyncio.shield(asyncio.create_task(self._set_custom_data(message, value)))

    async def remove(self, message: Message, *, everywhere: bool) -> bool:
        """Mark a message as deleted on this device, or delete it. Raises the errors that `Message.remove` documents."""
        if everywhere and message.seq:
            return await self._deletions.delete_everywhere(message)
        return await self._sends.cancel(message) or await self._deletions.delete_message(message, keep_row=True)

    async def delete_from_storage(self, message: Message) -> bool:
        """Delete a message's row on this device. Raises the errors that `Message.delete_from_storage` documents."""
        return await self._sends.cancel(message) or await self._deletions.delete_message(message, keep_row=False)

    async def reply(self, message: Message, answer: Message) -> Message:
        """Send an answer that quotes a message, or that follows an online message; see `Message.reply`."""
        key = message.key
        if key is None:
            raise InvalidArgument("the message was not sent yet: there is nothing to answer")
        if key.type is ConversationType.SYSTEM:
            raise InvalidConversation("only the server can send to the system conversation")
        if message.seq:
            add_quote(answer, key, message)
        return await self._sends.send(key, answer, progress=None, push=None)

    async def resend(self, message: Message, *, push: OfflinePush | None, progress: Progress | None) -> Message:
        """Send a failed message again; see `Message.resend`."""
        return await self._sends.resend(message, push=push, progress=progress)

    async def recall(self, message: Message) -> None:
        """Recall a message for everybody. Raises the errors that `Message.recall` documents."""
        key, name = _conversation_of(message), self._new_name()
        request = wire.recall_request(Address.of(key), message.seq, name, self._user_id)
        await self._apply_reply(key, message, await self._request(request))

    async def edit(self, message: Message, edited: Message) -> None:
        """Replace the content of a message with that of `edited`, after uploading the new content.

        Raises the errors that `Message.edit` documents.
        """
        key, name = _conversation_of(message), self._new_name()
        if not len(edited):
            raise InvalidArgument("the edited message is empty; use recall() to withdraw a message")
        edited.check()
        edited._msg_id = str(name)  # uploads are named after the msg_id
        await self._attachments.upload(edited, None)
        body, cloud = encode_body(edited.elems), edited.cloud_custom_data
        request = wire.edit_request(Address.of(key), message.seq, name, self._user_id, body, cloud)
        await self._apply_reply(key, message, await self._request(request))

    async def react(self, message: Message, reaction: str, *, remove: bool) -> None:
        """Add or remove this account's reaction. Raises the errors that `Message.react` documents."""
        key, name = _conversation_of(message), self._new_name()
        address = Address.of(key)
        body = wire.ReactRequest(
            peer=address.peer,
            group_id=address.group_id,
            seq=message.seq,
            reaction=reaction,
            removed=int(remove),
            client_time=name.client_time,
            random=name.number,
        )
        await self._apply_reply(key, message, await self._request(wire.REACT_TO.request(body)))

    def extensions(self, message: Message) -> ExtensionRequests:
        """Return the extensions of a message at the server. Raises InvalidArgument if the server has not numbered it."""
        return ExtensionRequests(self._connection, _conversation_of(message), message.seq)

    async def readers(self, message: Message) -> AsyncIterator[Reader]:
        """Yield the members who have read a group message. Raises the errors that `Message.readers` documents."""
        async for page in self._receipts(message, flag=0):
            for one in page.read:
                yield Reader(one.account, one.time)

    async def not_readers(self, message: Message) -> AsyncIterator[str]:
        """Yield the members who have not read a group message. Raises the errors that `Message.readers` documents."""
        async for page in self._receipts(message, flag=1):
            for one in page.unread:
                yield one.account

    async def _set_custom_int(self, message: Message, value: int) -> None:
        await self._store.messages.set_custom_int(message, value)
        message._custom_int = value
        self._live.changed(message)

    async def _set_custom_data(self, message: Message, value: bytes) -> None:
        await self._store.messages.set_custom_data(message, value)
        message._custom_data = bytes(value)
        self._live.changed(message)

    async def _receipts(self, message: Message, *, flag: int) -> AsyncIterator[conversation_settings.GetReadersReply]:
        key, cursor = _conversation_of(message), 0
        if key.type is not ConversationType.GROUP:
            raise InvalidConversation("readers exist only in groups; in C2C use message.read_by_peer")
        while True:
            body = conversation_settings.GetReadersRequest(
                group_id=key.peer, seq=message.seq, flag=flag, cursor=cursor, count=READERS_PAGE
            )
            page = await self._connection.call(conversation_settings.GET_READERS, body)
            yield page
            if page.finished:
                return
            cursor = page.cursor

    def _new_name(self) -> MsgId:
        self._store.check_open()
        return parse_msg_id(MSG_IDS.new(int(self._connection.server_time())))

    async def _request(self, request: Request[wire.MessageActionReply]) -> wire.MessageActionReply:
        """Repeat a request until the server replies, waiting for the connection if it is lost.

        Raises RequestTimeout after the timeout of one request.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    link = await self._connection.up()
                    try:
                        return await link.send(request, timeout_s=self._timeout_s)
                    except ConnectionFailed:
                        await asyncio.sleep(RETRY_S)
        except TimeoutError as exc:
            info = f"no reply within {self._timeout_s} s; read the conversation's history to see if the action was executed"
            raise RequestTimeout(info) from exc

    async def _apply_reply(self, key: ConversationKey, message: Message, reply: wire.MessageActionReply) -> None:
        if isinstance(reply.entry, msgspec.Raw):
            entry = decode(Entry, reply.entry)
            action = decode_action(entry, self._user_id)
            covered = [Interval(entry.timeline_seq, entry.timeline_seq)]
            last_seq = entry.timeline_seq
            actions = [action] if action is not None else []
            batch = IngestBatch(key, covered=covered, last_seq=last_seq, actions=actions, user_id=self._user_id)
            for result in await self._store.messages.ingest([batch]):
                self._conversations.apply(result)  # without events: this device acted itself
            self._inbox.on_own_entries(key, [entry.timeline_seq])
        now = await self._store.messages.get(key, message.seq)
        if now is not None:
            message.update_from(now)  # unless they are one object, because its row was deleted and fetched again


def _conversation_of(message: Message) -> ConversationKey:
    """Return a message's conversation. Raises InvalidArgument (the message has no seq) or InvalidConversation."""
    key = message.key
    if key is None or not message.seq or message.status is MessageStatus.SENDING:
        raise InvalidArgument("the message has no seq: it was not sent yet, or it is an online message")
    if key.type is ConversationType.SYSTEM:
        raise InvalidConversation("messages of the system conversation cannot be changed")
    return key
