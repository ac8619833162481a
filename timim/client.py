"""The client of one account on one device: login, conversations, events and search."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext
from typing import Self, Unpack

from .bots.dead_letters import DeadLetters
from .bots.routing import Router
from .conversation import Conversation, ConversationRegistry
from .conversation_list import ConversationList
from .engine.client_handlers import ClientHandlers
from .engine.cloud_search import CloudSearch
from .engine.config import MAX_ATTEMPTS, ClientConfig, ClientOptions, Platform, account_folder
from .engine.engine import Engine
from .engine.handler_slots import CONCURRENCY
from .engine.language import Language
from .engine.running import run_until_signal
from .errors import InvalidArgument
from .friends import Follows, Friends
from .groups.groups import Groups
from .ids import ConversationType, MsgIdText, UniqueId, UserId
from .local_store.fulltext import ElemTypes
from .message import Message
from .profiles import OwnProfile, Profiles, Statuses
from .results.search import SearchCursor, SearchResult
from .transport.account import Account, account_from_environment, account_from_folder
from .transport.network import ProxySetting, checked_network
from .transport.signature import UserSig, checked_signature
from .util.arguments import ByteCount, FilePath, Number, Seconds, Text, Timestamp, checked
from .util.read_only import assigned_once

__all__ = ["Client", "ClientOptions", "Platform", "run"]


@assigned_once("make another Client for another account", unread="use await client.mark_all_read()")
@checked(InvalidArgument, unless=("c2c", "conversation", "group", "from_env", "from_server"))
class Client(ClientHandlers):
    """Client of one account on one device, with a local store in `data_dir`.

    `async with client:` logs in and closes at the end, and raises the errors of `login()`. Creating a client does no I/O.
    A client belongs to the event loop in which it is opened first; calls from another loop, thread or process are refused.

    Args:
        url: Address of the server, `ws://` or `wss://`.
        app_id: Number of the application (SDKAppID).
        user_id: The account, 1 to 32 bytes.
        user_sig: Signature of the account, from your back end or, in tests, from `timim.sign_user`. A function (sync or async)
            that returns one is called for each login and each reconnect, so that the client outlives its signatures.
        data_dir: Folder of the local store. None is the platform's folder for application data; ":memory:" stores nothing.
        recent_contacts: False skips the conversation list at login. Missed C2C messages are fetched either way.
        resend: False marks messages that an earlier run left unsent as FAILED (SUCCEEDED if the server has them) instead of
            sending them at login.
        timeout: Limit in seconds for one request.
        reconnect_limit: Longest wait in seconds between two attempts to reconnect. The waits are random and grow up to it.
        platform: Kind of this device. A server can allow one online device of each kind; the older login gets KickedOut.
        media_cache_bytes: Size of a cache of downloads in `data_dir`; 0 downloads at each call (SDK guide, 接收图片消息).
        catch_up_groups: At a login, deliver all messages that were sent in known groups since the last one, as in C2C; False
            delivers the last message of each group. None catches up if `on_message` handlers are registered before the login.
        concurrency: Limit of the conversations whose handlers run at the same time; further ones wait.
        max_attempts: Number of times that the handlers of `on_message` are called for a message that they do not handle: they
            raise, are cancelled, or the program ends. The message becomes a dead letter then. 1 calls them once at most.
        proxy: URL of a proxy for the connection and for media: `http://host:port`, `https://…`, `socks5://…` or `socks5h://…`
            (SOCKS needs `timim[socks]`), with `user:password@` before the host if needed. None connects directly. True uses
            the proxy of the environment (WSS_PROXY, SOCKS_PROXY, HTTPS_PROXY, NO_PROXY, …), but none for loopback addresses.
        ssl: TLS settings of a `wss://` server and of its media; None trusts the authorities of the system.
        now: Wall clock in Unix seconds, used until the server has sent its own time.

    Raises:
        InvalidArgument: An argument is wrong; the text names it.
    """

    @checked(InvalidArgument)
    def __init__(
        self,
        url: Text,
        *,
        app_id: Number,
        user_id: UserId,
        user_sig: UserSig,
        data_dir: FilePath | None = None,
        recent_contacts: bool = True,
        catch_up_groups: bool | None = None,
        resend: bool = True,
        timeout: Seconds = 10.0,
        reconnect_limit: Seconds = 30.0,
        platform: Platform = "other",
        media_cache_bytes: ByteCount = 0,
        concurrency: Number = CONCURRENCY,
        max_attempts: Number = MAX_ATTEMPTS,
        proxy: ProxySetting = True,
        ssl: SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.user_id: str = user_id
        limits = {"timeout": timeout, "reconnect_limit": reconnect_limit}
        for name, limit in (limits | {"concurrency": concurrency, "max_attempts": max_attempts}).items():
            if limit <= 0:
                raise InvalidArgument(f"{name}: must be more than 0, not {limit}")
        self._user_sig = checked_signature(user_sig)
        engine = Engine(
            ClientConfig(
                url=url,
                app_id=app_id,
                user_id=self.user_id,
                folder=account_folder(data_dir, app_id, self.user_id),
                platform=platform,
                recent_contacts=recent_contacts,
                catch_up_groups=catch_up_groups,
                resend=resend,
                timeout_s=timeout,
                reconnect_limit_s=reconnect_limit,
                media_cache_bytes=media_cache_bytes,
                concurrency=concurrency,
                max_attempts=max_attempts,
                network=checked_network(url, proxy, ssl),
                now=now,
            )
        )
        super().__init__(engine)
        connection = engine.connection
        self.dead_letters: DeadLetters = DeadLetters(engine)
        self._registry = ConversationRegistry(self._engine)
        self.conversations: ConversationList = ConversationList(engine, self._registry)
        self.groups: Groups = Groups(connection, self._registry, engine.conversations.live_rooms)
        self.friends: Friends = Friends(connection)
        self.follows: Follows = Follows(connection)
        self.cloud_search: CloudSearch = CloudSearch(connection)
        self.language: Language = Language(connection)
        self.statuses: Statuses = Statuses(connection)
        self.profiles: Profiles = Profiles(connection, self._engine.profiles)
        self.profile: OwnProfile = OwnProfile(connection, self.profiles, self.user_id)

    @classmethod
    def from_env(cls, **options: Unpack[ClientOptions]) -> Self:
        """Create a client from TIMIM_URL, TIMIM_APP_ID, TIMIM_USER, and TIMIM_USER_SIG or TIMIM_SECRET_KEY.

        With the secret key of the app, the client signs each login itself. `options` are further arguments of Client.

        Raises:
            InvalidArgument: A variable is missing or wrong; the text names it.
        """
        return cls._of(account_from_environment(os.environ), options)

    @classmethod
    def from_server(cls, folder: str | Path = "timim-data", /, *, user_id: str, **options: Unpack[ClientOptions]) -> Self:
        """Create a client of a server on this machine: its data folder has the address, the app id and the key.

        The client signs each login itself, so use this only on the machine of the server. `options` are further arguments
        of Client; their `data_dir` is the client's own folder.

        Raises:
            InvalidArgument: The folder has no key, or another argument is wrong.
        """
        return cls._of(account_from_folder(Path(folder), user_id), options)

    @classmethod
    def _of(cls, account: Account, options: ClientOptions) -> Self:
        return cls(account.url, app_id=account.app_id, user_id=account.user_id, user_sig=account.user_sig, **options)

    def run(self, router: Router | None = None, *, drain_s: Seconds = 10.0) -> None:
        """Log in, handle messages until SIGINT or SIGTERM, drain, and close. Call this method in a program without a loop.

        At the signal the client receives no more messages. Handlers of messages that were received have `drain_s` to return,
        and queued messages to be sent; the rest is cancelled. A second signal ends the process at once. The records of timim go
        to standard error from INFO on, unless logging is set up.

        The program goes on after `run()`, with exit code 0, if a signal or a logout ended the login and nothing was cut short.
        Otherwise SystemExit has the exit code. 1: the server cannot be reached at the start, or the local store failed. 2: the
        server refused or ended the login, or a setting is wrong, so a restart does not help. 3: handlers were cancelled, or
        messages remain unsent. An error of 1 and 2 is one line on standard error.

        Args:
            router: Router that gets the messages, as from `on_message(router.feed)`.
            drain_s: Seconds that handlers and queued messages have at the end.

        Raises:
            InvalidArgument: An event loop runs already; use `async with client` there. Or this is not the main thread, or a
                handler of the router has a parameter without a value.
        """
        if router is not None:
            router.check()
            self.on_message(router.feed)
        run_until_signal(self._engine, self._user_sig, drain_s=drain_s)

    def c2c(self, user_id: str) -> Conversation:
        """Return the conversation with a user, without I/O.

        Raises:
            InvalidArgument: The user id is empty, over 32 bytes or has control characters.
        """
        return self._registry.get(ConversationType.C2C, user_id, argument="user_id")

    def group(self, group_id: str) -> Conversation:
        """Return the conversation of a group or a topic, without I/O.

        Raises:
            InvalidArgument: The group id is empty, over 48 bytes (104 for a topic) or has control characters.
        """
        return self._registry.get(ConversationType.GROUP, group_id, argument="group_id")

    def system(self) -> Conversation:
        """Return the conversation of system notices, which is read-only."""
        return self._registry.get(ConversationType.SYSTEM, "")

    def conversation(self, type: ConversationType, peer: str) -> Conversation:
        """Return the conversation of this type and peer, without I/O. Equal arguments give the same object.

        Raises:
            InvalidArgument: The peer cannot be a user id or a group id.
            InvalidConversation: A peer is given for the system conversation.
        """
        return self._registry.get(type, peer)

    @property
    def scheduled_messages(self) -> list[Message]:
        """The messages of `send(at=…)` that are not due yet, on this device, the next one first."""
        return self._engine.scheduler.messages()

    async def open(self) -> None:
        """Open the local store without logging in, so that local queries work.

        A corrupt store is moved aside and replaced by an empty one; StoreReplaced reports the path.

        Raises:
            StoreInUse: Another process, or another client, has the store open.
            WrongStore: The store belongs to another account; give another `data_dir`.
            StorageError: The store cannot be read or written; the text names the folder.
        """
        await self._engine.open()

    async def login(self, *, user_sig: UserSig | None = None) -> None:
        """Log in, and return when new messages are being received.

        Calls at the same time share one login. The client stays logged in until `logout()`, and restores lost connections by
        itself. After an error or a cancellation the client is logged out and can log in again; its local store stays open for
        local queries until `close()`. A corrupt local store is replaced, as by `open()`.

        Args:
            user_sig: A new signature, if the one given before has expired.

        Raises:
            AuthError: The server refused the signature (70001 to 70014); log in with a new one.
            ConnectionFailed: The server cannot be reached; try again later.
            RequestTimeout: The server did not answer in time; try again later.
            ProtocolError: The other side does not speak the protocol; check the URL.
            ServerRefused: The server refused the login for another reason.
            InvalidArgument: The URL is not a websocket address, or the client belongs to another event loop.
            NotLoggedIn: The client was logged out during the login.
            StoreInUse: Another process, or another client, has the store open.
            WrongStore: The store belongs to another account; give another `data_dir`.
            StorageError: The store cannot be read or written; the text names the folder.
        """
        if user_sig is not None:
            self._user_sig = checked_signature(user_sig)
        await self._engine.login(self._user_sig)

    async def logout(self) -> None:
        """Log out. Unsent messages stay in the local store and are sent after the next login.

        Running handlers finish first, without a time limit; `wait_for()` and `expect()` in them raise NotLoggedIn.
        Cancelling cancels the handlers.

        Raises:
            StorageError: The local store failed while it saved the last changes. The client is logged out.
        """
        await self._engine.logout()

    async def close(self) -> None:
        """Log out as `logout()` does, and close the local store.

        Raises:
            StorageError: The local store failed while it saved the last changes. The store is closed.
        """
        await self._engine.close()

    async def __aenter__(self) -> Self:
        try:
            await self.login()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def delete_conversation(
        self, type: ConversationType, peer: str, *, messages: bool = False, everywhere: bool = False
    ) -> bool:
        """Remove a conversation from the list on this device. If `messages`, delete its local messages too.

        With `everywhere`, the server does so for all devices of this account; see docs/how-to/delete_messages.md. A message
        that waits to be sent is deleted unsent, and its `send()` raises MessageWithdrawn. One on its way to the server stays.

        Returns:
            True if the conversation was listed.

        Raises:
            InvalidArgument: The peer cannot be a user id or a group id.
            NotLoggedIn: The client is not open; with `everywhere`, not logged in.
            StorageError: The local store failed; the conversation is unchanged.
            TimimError: With `everywhere`, the other errors of `client.conversations.clear_history`.
        """
        key, engine = self.conversation(type, peer).key, self._opened()
        return await engine.deletions.delete_conversation(key, messages=messages, everywhere=everywhere)

    async def search(
        self,
        words: Text | None = None,
        *,
        sender: UserId | None = None,
        elem: ElemTypes | None = None,
        since: Timestamp | None = None,
        until: Timestamp | None = None,
        include_deleted: bool = False,
        count: Number = 20,
        after: SearchCursor | None = None,
        fetch_missing: bool = False,
    ) -> SearchResult:
        """Search all conversations that this device knows, with the arguments and rules of `Conversation.search`.

        Raises:
            InvalidArgument: There is nothing to search for, or `count` is not 1 to 1000.
            NotLoggedIn: The client is not open.
            StorageError: The local store failed.
            NetworkError: With `fetch_missing`, the server did not answer.
            ServerRefused: With `fetch_missing`, the server refused a request.
        """
        return await self._opened().search.search(
            words,
            key=None,
            sender=sender,
            elem=elem,
            since=since,
            until=until,
            include_deleted=include_deleted,
            count=count,
            after=after,
            fetch_missing=fetch_missing,
        )

    async def get_message(
        self,
        *,
        msg_id: MsgIdText | None = None,
        unique_id: UniqueId | None = None,
        conversation: Conversation | None = None,
    ) -> Message | None:
        """Return the locally stored message with this msg_id or unique_id, or None, without the network.

        A message that `remove()` marked as deleted is returned too. Messages of other clients and programs of Tencent's
        protocol can share an id in different conversations.

        Args:
            msg_id: `message.msg_id`; give this one or `unique_id`.
            unique_id: `message.unique_id`, which a message has when the server has numbered it.
            conversation: The conversation of the message; None looks in all.

        Raises:
            InvalidArgument: No id or both are given, an id is wrong, or several messages have it; give `conversation` then.
            NotLoggedIn: The client is not open.
            StorageError: The local store failed.
        """
        id = msg_id if unique_id is None else unique_id
        if id is None or (msg_id is not None and unique_id is not None):
            raise InvalidArgument("give either msg_id= or unique_id=")
        return await self._opened().search.message_with_id(id, conversation.key if conversation is not None else None)

    @property
    def unread(self) -> int:
        """The number of unread messages in all listed conversations except the muted ones."""
        return sum(conversation.unread for conversation in self.conversations if not conversation.muted)

    async def mark_all_read(self) -> None:
        """Mark all messages that this device knows of as read, by `Conversation.mark_read`, on all devices.

        Raises:
            NotLoggedIn: The client is not open.
            ServerRefused: The server refused the change of one conversation, whose messages are unread again.
            StorageError: The local store failed; nothing has changed.
        """
        rows = [row for row in await self._opened().store.conversations.all() if row.listed]
        unread = [(row.key, row.newest_seq) for row in rows if row.newest_seq > row.read_seq]
        await self._engine.changes.mark_read(unread)

    def _opened(self) -> Engine:
        """Return the engine of an open client.

        Raises:
            NotLoggedIn: The client is not open.
            InvalidArgument: The client belongs to another event loop.
        """
        self._engine.check_open()
        return self._engine

    @property
    def engine(self) -> Engine:
        """The internal parts of this client, for tools and tests; they can change in any version."""
        return self._engine

    def __repr__(self) -> str:
        state = "online" if (at := self._engine.connection).online else "offline" if at.running else "logged out"
        return f"<Client {self.user_id} {state}, {self._engine.outbox.sending} sending>"


@checked(InvalidArgument)
def run(client: Client, router: Router | None = None, *, drain_s: Seconds = 10.0) -> None:
    """Run a client until SIGINT or SIGTERM, as `client.run()` does.

    Raises:
        InvalidArgument: An event loop runs already; use `async with client` there. Or this is not the main thread, or a
            handler of the router has a parameter without a value.
    """
    client.run(router, drain_s=drain_s)
