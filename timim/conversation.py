"""Conversations: sending, history, search and settings with one peer or group.

A client has one object for each type and peer. Getting the object does no I/O and does not list the conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from .elems import AnyElem, Progress
from .engine.conversation_history import ConversationHistory
from .engine.conversations import ConversationState
from .engine.engine import Engine
from .engine.history import seq_in
from .engine.new_messages import message_of, require_type, set_requests
from .engine.scheduler import due_time
from .engine.typing_status import repeated_status
from .errors import InvalidArgument, RequestTimeout, TimimError
from .ids import ConversationKey, ConversationType, UserId, conversation_key
from .message import Message, OfflinePush, Priority
from .protocol.merger import merge_messages
from .protocol.typing_status import typing_elem
from .util.arguments import Items, Seconds, Text, checked
from .util.read_only import refusing

__all__ = ["Conversation"]


@refusing(
    "the client sets it",
    unread="use await conversation.mark_read()",
    mentioned="use await conversation.mark_read()",
    pinned="use await conversation.set_pinned(…)",
    muted="use await conversation.set_muted(…)",
    draft="use await conversation.set_draft(…)",
)
@checked(InvalidArgument, unless=("send",))
class Conversation(ConversationHistory):
    """Conversation with a user or a group: `client.c2c("bob")`, `client.group("TGID1JYSZEAEQ")`, `client.system()`."""

    __slots__ = ()

    @property
    def unread(self) -> int:
        """The number of unread messages."""
        return self._state.unread

    @property
    def mentioned(self) -> int:
        """The number of unread messages that mention this account, or everybody."""
        return self._state.mentioned

    @property
    def sync_error(self) -> TimimError | None:
        """The error because of which this conversation could not be synced, or None. The client tries again by itself."""
        return self._state.sync_error

    @property
    def peer_read_seq(self) -> int:
        """The seq up to which the peer has read, in C2C; 0 if this device has not received one."""
        return self._state.peer_read_seq

    @property
    def pinned(self) -> bool:
        """True if the conversation is above the others in the list."""
        return self._state.pinned_at > 0

    @property
    def muted(self) -> bool:
        """True if new messages cause no notification and do not count in `client.unread`."""
        return self._state.muted

    @property
    def draft(self) -> str:
        """The draft; "" if there is none."""
        return self._state.draft

    @property
    def type(self) -> ConversationType:
        """C2C, GROUP or SYSTEM."""
        return self.key.type

    @property
    def peer(self) -> str:
        """The id of the other user or of the group."""
        return self.key.peer

    @property
    def last_message(self) -> Message | None:
        """The last message that is not deleted on this device; None before the first login, or if no message is stored.

        It can be a recalled message, and one that is being sent or has failed.
        """
        return self._state.recent.shown

    async def send(
        self,
        *parts: str | AnyElem | Message,
        push: OfflinePush | None = None,
        progress: Progress | None = None,
        priority: Priority = Priority.NORMAL,
        timeout: Seconds | None = None,
        at: datetime | None = None,
        mention: Items[UserId] = (),
        reply_to: Message | None = None,
        request_receipt: bool = False,
    ) -> Message:
        """Send text, elems or one Message, and return the message when the server has stored and numbered it.

        The message is stored locally before its first byte is sent. Without a connection, the message waits in order and
        is sent after the next login, also by a later process. Cancelling does not stop the sending; while content given as
        bytes is being written to disk, it withdraws the message. Tencent IM SDK guide, 消息发送.

        Args:
            parts: Strings, elems, or one Message that was not sent before.
            push: Title and text of the offline push.
            progress: Called with the bytes done and the bytes in all while content is uploaded.
            priority: Priority of a group message when the group is busy; groups only.
            timeout: Limit in seconds for the waiting. The message stays queued and is still sent once.
            at: Time with a time zone; `send` stores the message on this device and returns. The message is sent when it is due,
                or at the next login after that. `message.remove()` cancels, and `client.scheduled_messages` lists what waits.
            mention: User ids or `timim.ALL`, at most 30; groups only. Only the owner and admins may mention all.
            reply_to: A message of this conversation to quote.
            request_receipt: True requests the event `ReadReceipt` of this message; in C2C, and in groups of up to 200 members.

        Raises:
            InvalidArgument: An argument, the message or an elem is wrong, or over a limit; correct the call. Subclasses
                name the cause: InvalidElem, MessageTooLong, AlreadySent, InvalidConversation.
            RequestTimeout: `timeout` is over. Do not send again: `message.status` and the queries show the outcome.
            MediaError: Content cannot be read or uploaded; the message has status FAILED.
            ServerRefused: The server refused the message (status FAILED), as with Muted, Blacklisted, NotAMember.
            ConnectionFailed: Uploads were cut several times in a row; the message has status FAILED.
            NotLoggedIn: The client is not open, or logs out during the call; a logout leaves the message queued.
            MessageWithdrawn: The message was deleted on this device before it was sent.
            NetworkError: In a handler: the server has the message of an earlier attempt, which cannot be fetched now.
            StorageError: The local store failed; the message is not sent.
        """
        if len(parts) == 1 and (parts[0].__class__ is str or parts[0].__class__ is Message):
            given = (push, progress, timeout, at, reply_to)
            plain = priority is Priority.NORMAL and mention.__class__ is tuple and not mention and request_receipt is False
            if plain and given == (None, None, None, None, None):  # as most calls
                message = message_of(self.key, parts)
                message._priority = priority
                return await self._opened().sends.send(self.key, message, progress=None, push=None)
        return await self._send(
            *parts,
            push=push,
            progress=progress,
            priority=priority,
            timeout=timeout,
            at=at,
            mention=mention,
            reply_to=reply_to,
            request_receipt=request_receipt,
        )

    @checked(InvalidArgument)
    async def _send(
        self,
        *parts: str | AnyElem | Message,
        push: OfflinePush | None,
        progress: Progress | None,
        priority: Priority,
        timeout: Seconds | None,
        at: datetime | None,
        mention: Items[UserId],
        reply_to: Message | None,
        request_receipt: bool,
    ) -> Message:
        message = message_of(self.key, parts)
        set_requests(self.key, message, mention=mention, reply_to=reply_to, request_receipt=request_receipt)
        if priority is not Priority.NORMAL:
            require_type(self.key, ConversationType.GROUP, "priority= is for groups")
        message._priority = priority
        if at is not None:
            if timeout is not None or progress is not None:
                raise InvalidArgument("at: cannot be combined with timeout and progress; the message is sent later")
            return await self._opened().sends.schedule(self.key, message, due_time(at), push)
        sending = self._opened().sends.send(self.key, message, progress=progress, push=push)
        if timeout is None:
            return await sending
        try:
            async with asyncio.timeout(timeout):
                return await sending
        except TimeoutError as exc:
            await self._engine.store.sync()  # a power cut must not undo what the next line says
            raise RequestTimeout(f"no ack within {timeout} s; the message {message.msg_id} stays queued") from exc

    async def send_red_packet(self, *parts: str | AnyElem | Message, timeout: Seconds | None = None) -> Message:
        """Send to a group with HIGH priority (Tencent IM SDK guide, 针对群组的红包和点赞消息).

        Raises:
            InvalidConversation: This is not the conversation of a group.
            TimimError: The errors of `send`.
        """
        require_type(self.key, ConversationType.GROUP, "red packets go to groups")
        return await self.send(*parts, priority=Priority.HIGH, timeout=timeout)

    async def send_like(self, *parts: str | AnyElem | Message, timeout: Seconds | None = None) -> Message:
        """Send to a group with LOW priority.

        Raises:
            InvalidConversation: This is not the conversation of a group.
            TimimError: The errors of `send`.
        """
        require_type(self.key, ConversationType.GROUP, "likes go to groups")
        return await self.send(*parts, priority=Priority.LOW, timeout=timeout)

    async def send_online(self, *parts: str | AnyElem | Message) -> Message:
        """Send to the devices of the peer that are online now (Tencent IM SDK guide, 在线消息).

        The message is not stored on any device or on the server, and gets no seq. Cancelling while content is uploaded
        sends nothing.

        Raises:
            InvalidConversation: This is not a C2C conversation.
            InvalidArgument: The message or an elem is wrong, over a limit, or was sent before.
            ConnectionFailed: The client is not connected at the moment; call again with a new message.
            NetworkError: The server or the media server did not answer.
            MediaError: Content cannot be read or uploaded.
            ServerRefused: The server refused the message.
            NotLoggedIn: The client is not logged in.
        """
        message = message_of(self.key, parts)
        require_type(self.key, ConversationType.C2C, "online messages go to one user")
        return await self._opened().online_messages.send(self.key, message)

    async def send_typing(self, *, active: bool = True) -> None:
        """Tell the devices of the peer that are online now that this user is typing; they get TypingChanged.

        The status is not stored, and is no message at the peer. `typing()` sends it again for as long as a block runs.

        Args:
            active: False tells that the user stopped.

        Raises:
            InvalidConversation: This is not a C2C conversation.
            TimimError: The errors of `send_online`.
        """
        require_type(self.key, ConversationType.C2C, "the typing status goes to one user")
        await self._opened().online_messages.send(self.key, Message(typing_elem(active=active)))

    @asynccontextmanager
    async def typing(self) -> AsyncIterator[None]:
        """Run a block while the peer sees that this user is typing: `async with conversation.typing(): …`.

        The status is sent at once and every 4 seconds, and its end after the block, also after an error or a cancellation. The
        block never waits for it. While there is no connection, the status is not sent, and nothing is raised. Groups have no
        typing status: the block just runs.

        Raises:
            NotLoggedIn: The client is not open.
            InvalidArgument: The client belongs to another event loop.
        """
        engine = self._opened()
        if self.type is not ConversationType.C2C:
            yield
            return
        async with repeated_status(engine, self.key):
            yield

    async def forward(
        self,
        messages: Items[Message],
        *,
        title: Text,
        to: Conversation | None = None,
        abstracts: Items[Text] | None = None,
        compatible_text: Text = "",
    ) -> Message:
        """Send messages as one MergerElem.

        Args:
            messages: 1 to 300 messages, oldest first.
            title: Title of the merged messages.
            to: The conversation to send to; None is this one.
            abstracts: Lines that summarize the content; None takes the first three messages.
            compatible_text: Text for clients without support for mergers; "" is the title.

        Raises:
            InvalidArgument: There are no messages or more than 300, or one was recalled or not sent.
            InvalidElem: Mergers are nested in more than 100 layers.
            TimimError: The errors of `send`.
        """
        merger = merge_messages(messages, title=title, abstracts=abstracts, compatible_text=compatible_text)
        return await (to or self).send(merger)

    async def mark_read(self, upto: Message | None = None) -> None:
        """Mark all messages, or the messages up to `upto`, as read on all devices; the peer gets a ReadReceipt.

        The change is stored on this device and sent as by `set_draft`. The highest position of all devices counts, so that
        messages that are read already need no request.

        Raises:
            InvalidArgument: `upto` is of another conversation, or the server has not numbered it.
            NotLoggedIn: The client is not open.
            ServerRefused: The server refused the change, as with NotAMember; the messages are unread again.
            StorageError: The local store failed; nothing has changed.
        """
        engine = self._opened()
        row = await engine.store.conversations.get(self.key)
        newest, read = (row.newest_seq, row.read_seq) if row is not None else (0, 0)
        seq = seq_in(self.key, upto) if upto is not None else newest
        if seq > read:
            await engine.changes.mark_read([(self.key, seq)])

    async def set_pinned(self, pinned: bool) -> None:
        """Pin the conversation above the others in the list, or unpin it, on all devices.

        The change is stored on this device and sent as by `set_draft`.

        Raises:
            InvalidArgument: The client belongs to another event loop.
            NotLoggedIn: The client is not open.
            ServerRefused: The server refused the change, as with NotAMember; the conversation is as before.
            StorageError: The local store failed; nothing has changed.
        """
        await self._opened().changes.set_pinned(self.key, pinned)

    async def set_muted(self, muted: bool) -> None:
        """Mute or unmute the conversation on all devices; see `muted`.

        The change is stored on this device and sent as by `set_draft`.

        Raises:
            InvalidArgument: The client belongs to another event loop.
            NotLoggedIn: The client is not open.
            ServerRefused: The server refused the change, as with NotAMember; the conversation is as before.
            StorageError: The local store failed; nothing has changed.
        """
        await self._opened().changes.set_muted(self.key, muted)

    async def set_draft(self, text: Text) -> None:
        """Store a draft on this device at once, and on other devices when there is a connection; "" removes the draft.

        Returns when the server has the draft. If there is no connection, or if it is lost or the server does not answer,
        returns too: the draft is sent again, at the latest before the next `login()` or reconnect is complete, also by a later
        process. Of the changes of several devices the one that was made last wins. Cancelling stops the waiting only.

        Raises:
            InvalidArgument: The text is over 12 KB.
            NotLoggedIn: The client is not open.
            ServerRefused: The server refused the draft, as with NotAMember; the draft is as before. If no call waits for the
                answer, SettingRefused is delivered instead.
            StorageError: The local store failed; nothing has changed.
        """
        await self._opened().changes.set_draft(self.key, text)

    def wait_for(self, predicate: Callable[[Message], bool], *, timeout: Seconds | None = None) -> asyncio.Future[Message]:
        """Return a future of the next new message in this conversation that satisfies `predicate`.

        Messages count from this call on, also before the future is awaited. Cancel the future to stop waiting. Awaiting
        the future also raises the errors of `predicate`.

        Raises:
            NotLoggedIn: The client is not open; or, by the future, the client logs out.
            InvalidArgument: The client belongs to another event loop.
            RequestTimeout: By the future, after `timeout` seconds without such a message.
        """
        return self._opened().dispatcher.listeners.wait_for(self.key, predicate, timeout=timeout)

    @asynccontextmanager
    async def expect(
        self, predicate: Callable[[Message], bool], *, timeout: Seconds | None = None
    ) -> AsyncIterator[asyncio.Future[Message]]:
        """Run a block with a future of the next new message in this conversation that satisfies `predicate`.

        `async with conv.expect(pred, timeout=5) as got: await conv.send(…)`, then `await got`. Messages and the time
        count from the begin of the block. An error in the block cancels the future.

        Raises:
            NotLoggedIn: The client is not open; or, by the future, the client logs out.
            InvalidArgument: The client belongs to another event loop.
            RequestTimeout: By the future, after `timeout` seconds without such a message.
        """
        future = self.wait_for(predicate, timeout=timeout)
        try:
            yield future
        except BaseException:
            future.cancel()
            raise

    def __repr__(self) -> str:
        return f"<Conversation {self.key}, {self.unread} unread>"


class ConversationRegistry:
    """Registry of a client's conversation objects: one for each type and peer, for the life of the client."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._conversations: dict[ConversationKey, Conversation] = {}
        engine.binder.conversations = self

    def get(self, type: ConversationType, peer: str, *, argument: str = "peer") -> Conversation:
        """Return the conversation of this type and peer, which an error calls `argument`.

        Raises:
            InvalidArgument: The peer cannot be a user id or a group id.
            InvalidConversation: A peer is given for the system conversation.
        """
        if type.__class__ is ConversationType and peer.__class__ is str:
            known = self._conversations.get(ConversationKey(type, peer))
            if known is not None:
                return known  # the ids were checked when the object was made
        return self.of(self._engine.conversations.get(conversation_key(type, peer, argument=argument)))

    def of_key(self, key: ConversationKey) -> Conversation:
        """Return the conversation with this valid key."""
        return self._conversations.get(key) or self.of(self._engine.conversations.get(key))

    def of(self, state: ConversationState) -> Conversation:
        """Return the conversation with this state."""
        found = self._conversations.get(state.key)
        if found is None:
            found = self._conversations[state.key] = Conversation(state, self._engine)
        return found
