"""Acts on messages, by this device: recalling, editing, reacting. What the server answers is the act's entry.

An act has a name of its own, as a message has: when the reply is lost it is asked again under the same name, and the server
does it once. The reply is applied to the row before the caller hears of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec

from ..errors import ConnectionFailed, InvalidArgument, InvalidConversation, RequestTimeout
from ..ids import ConversationKey, ConversationType, MsgId
from ..message import Message, MessageStatus, Reader
from ..protocol import conversation_settings
from ..protocol import message_actions as wire
from ..protocol.codec import Body, Command, decode
from ..protocol.coverage import Interval
from ..protocol.elems import encode_body
from ..protocol.entries import Entry
from ..storage import IngestBatch, LocalStore
from ..transport.connection import Connection
from .attachments import Attachments
from .decoding import act_of

R = TypeVar("R", bound=wire.MessageActionReply)
B = TypeVar("B", bound=Body)
RETRY_S = 0.2  # between tries while the link is being found lost
READERS_PAGE = 100


class Acting:
    """`numbered` hears of each seq that an act got, `changed` of each message that is another now."""

    def __init__(
        self,
        store: LocalStore,
        connection: Connection,
        *,
        user_id: str,
        content: Attachments,
        numbered: Callable[[ConversationKey, int], None],
        changed: Callable[[Message], None],
        timeout_s: float,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._connection = connection
        self._user_id = user_id
        self._content = content
        self._numbered = numbered
        self._changed = changed
        self._timeout_s = timeout_s
        self._random = rng

    async def recall(self, message: Message) -> None:
        """Raises what Message.recall says."""
        key, name = _place(message), self._name()
        if key.type is ConversationType.GROUP:
            group = wire.RecallGroupRequest(group_id=key.peer, items=[wire.SeqItem(seq=message.seq)])
            group.client_time, group.random = name
            group_reply = await self._ask(wire.RECALL_GROUP, group)
            await self._done(key, message, group_reply)
        else:
            info = wire.RecallInfo(from_account=self._user_id, to_account=key.peer, seq=message.seq)
            c2c = wire.RecallC2CRequest(info=info, client_time=name.client_time, random=name.random)
            c2c_reply = await self._ask(wire.RECALL_C2C, c2c)
            await self._done(key, message, c2c_reply)

    async def edit(self, message: Message, edited: Message) -> None:
        """Raises what Message.edit says; content is uploaded first."""
        key, name = _place(message), self._name()
        if not len(edited):
            raise InvalidArgument("the message is empty: to take it back, recall it")
        edited.check()
        edited.msg_id = str(name)  # uploads are named by it
        await self._content.upload(edited, None)
        body, cloud = msgspec.Raw(encode_body(edited.elems)), edited.cloud_custom_data
        if key.type is ConversationType.GROUP:
            group = wire.EditGroupRequest(group_id=key.peer, seq=message.seq, msg_body=body, cloud_custom_data=cloud)
            group.client_time, group.random = name
            group_reply = await self._ask(wire.EDIT_GROUP, group)
            await self._done(key, message, group_reply)
        else:
            c2c = wire.EditC2CRequest(from_account=self._user_id, to_account=key.peer, seq=message.seq, msg_body=body)
            c2c.cloud_custom_data, c2c.client_time, c2c.random = cloud, *name
            c2c_reply = await self._ask(wire.EDIT_C2C, c2c)
            await self._done(key, message, c2c_reply)

    async def react(self, message: Message, reaction: str, *, remove: bool) -> None:
        """Raises what Message.react says."""
        key, name = _place(message), self._name()
        in_group = key.type is ConversationType.GROUP
        body = wire.ReactRequest(
            peer="" if in_group else key.peer,
            group_id=key.peer if in_group else "",
            seq=message.seq,
            reaction=reaction,
            removed=int(remove),
            client_time=name.client_time,
            random=name.random,
        )
        reply = await self._ask(wire.REACT_TO, body)
        await self._done(key, message, reply)

    async def readers(self, message: Message) -> AsyncIterator[Reader]:
        """Who read it, page by page."""
        async for page in self._receipts(message, flag=0):
            for one in page.read:
                yield Reader(one.account, one.time)

    async def not_readers(self, message: Message) -> AsyncIterator[str]:
        """Who did not, page by page."""
        async for page in self._receipts(message, flag=1):
            for one in page.unread:
                yield one.account

    async def _receipts(self, message: Message, *, flag: int) -> AsyncIterator[conversation_settings.GetReadersReply]:
        key, cursor = _place(message), 0
        if key.type is not ConversationType.GROUP:
            raise InvalidConversation("in C2C there is one reader: see message.read_by_peer")
        while True:
            body = conversation_settings.GetReadersRequest(
                group_id=key.peer, seq=message.seq, flag=flag, cursor=cursor, count=READERS_PAGE
            )
            page = await self._connection.call(conversation_settings.GET_READERS, body)
            yield page
            if page.finished:
                return
            cursor = page.cursor

    def _name(self) -> MsgId:
        return MsgId(int(self._connection.server_time()), self._random.randrange(1, 1 << 32))

    async def _ask(self, command: Command[B, R], body: B) -> R:
        """Ask until there is an answer: a lost link is waited for, within the time of one request."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    link = await self._connection.up()
                    try:
                        return await link.call(command, body, timeout_s=self._timeout_s)
                    except ConnectionFailed:
                        await asyncio.sleep(RETRY_S)
        except TimeoutError as exc:
            info = f"no answer within {self._timeout_s} s; whether it was done, the conversation's history will tell"
            raise RequestTimeout(info) from exc

    async def _done(self, key: ConversationKey, message: Message, reply: wire.MessageActionReply) -> None:
        if isinstance(reply.entry, msgspec.Raw):
            entry = decode(Entry, reply.entry)
            act = act_of(entry, self._user_id)
            covered = [Interval(entry.timeline_seq, entry.timeline_seq)]
            last_seq = entry.timeline_seq
            batch = IngestBatch(key, covered=covered, last_seq=last_seq, acts=[act] if act is not None else [])
            await self._store.add([batch])
            self._numbered(key, entry.timeline_seq)
        now = await self._store.message(key, message.seq)
        if now is not None:
            self._changed(now)
            message.update_from(now)


def _place(message: Message) -> ConversationKey:
    """Where a message stands. Raises InvalidArgument for one that the server has not numbered."""
    key = message.conversation
    if key is None or not message.seq or message.status is MessageStatus.SENDING:
        raise InvalidArgument("the server has not numbered this message: it was not sent yet, or it was an online message")
    if key.type is ConversationType.SYSTEM:
        raise InvalidConversation("nobody acts on what the server itself said")
    return key
