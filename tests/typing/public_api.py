"""Checks of the types in the public API. `make types` runs mypy on this file; the code is never executed.

`assert_type` states the type that a type checker has to infer. A `type: ignore` marks a line that must not pass: mypy reports
an unused ignore, so a wrong call that begins to pass fails the check.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, assert_type

import timim
from timim import (
    AllowType,
    AnyElem,
    Client,
    ClientEvent,
    ConnectionLost,
    ConnectionRestored,
    Conversation,
    ConversationKey,
    ConversationList,
    ConversationType,
    Coverage,
    CustomElem,
    EventStream,
    F,
    Filter,
    Friend,
    FriendApplication,
    Group,
    GroupInfo,
    GroupMember,
    GroupNoticeReceived,
    GroupType,
    HandlerFailed,
    HistoryCoverage,
    ImageElem,
    ImageType,
    ImageVariant,
    Interval,
    JoinOption,
    JsonValue,
    KickedOut,
    MemberList,
    MemberRole,
    MergedMessage,
    MergerElem,
    Message,
    MessageRecalled,
    MessageStatus,
    OfflinePush,
    Page,
    Priority,
    Profile,
    QuotedMessage,
    Reader,
    ReadReceipt,
    Router,
    SearchCursor,
    SearchResult,
    SenderMember,
    SenderProfile,
    Snippet,
    SoundElem,
    StoreReplaced,
    TextElem,
    TextField,
    TextRange,
    UnknownElem,
)
from timim.server import Server, Settings
from timim.testing import EventRecorder, RunningServer, running_server


def clients() -> Client:
    signature = timim.sign_user(1_400_000_000, "key", "alice", expire_s=86400)
    assert_type(signature, str)
    Client("ws://127.0.0.1:8700", app_id=1, user_id="alice", user_sig=signature, data_dir=Path(), platform="watch")  # type: ignore[arg-type]
    Client("ws://127.0.0.1:8700", 1, "alice", signature)  # type: ignore[call-arg]
    return Client("ws://127.0.0.1:8700", app_id=1, user_id="alice", user_sig=signature, data_dir=":memory:")


def message_handlers(client: Client) -> None:
    @client.on_new_message
    async def show(messages: list[Message]) -> None: ...

    @client.on_new_message
    def show_at_once(messages: list[Message]) -> None: ...

    @client.on_new_message  # type: ignore[type-var]
    async def one_message(message: Message) -> None: ...

    client.off(show)
    client.off("show")  # type: ignore[arg-type]


def event_handlers(client: Client) -> None:
    @client.on(ConnectionLost)
    async def lost(event: ConnectionLost) -> None:
        assert_type(event.error, timim.TimimError)

    @client.on(KickedOut)
    def kicked(event: KickedOut) -> None: ...

    @client.on(ConnectionLost, ConnectionRestored)
    async def either(event: ConnectionLost | ConnectionRestored) -> None: ...

    @client.on(ConnectionLost, ConnectionRestored, KickedOut, MessageRecalled, ReadReceipt)
    async def one_of_five(
        event: ConnectionLost | ConnectionRestored | KickedOut | MessageRecalled | ReadReceipt,
    ) -> None: ...

    @client.on(ConnectionLost, ConnectionRestored, KickedOut, MessageRecalled, ReadReceipt, StoreReplaced)
    async def any_event(event: ClientEvent) -> None: ...

    @client.on(HandlerFailed)
    async def report(event: HandlerFailed) -> None:
        assert_type(event.argument, list[Message] | Message | ClientEvent)

    @client.on(KickedOut)  # type: ignore[arg-type]
    async def wrong_event(event: ConnectionLost) -> None: ...

    @client.on(ConnectionLost, KickedOut)  # type: ignore[arg-type]
    async def one_missing(event: ConnectionLost) -> None: ...

    @client.on(ConnectionLost)  # type: ignore[arg-type]
    async def no_event() -> None: ...

    @client.on(ConnectionLost)  # type: ignore[type-var]
    async def wrong_result(event: ConnectionLost) -> int:
        return 1

    client.on(Message)  # type: ignore[type-var]
    client.on("ConnectionLost")  # type: ignore[call-overload]


def single_messages(client: Client) -> None:
    @client.on_message
    async def answer(message: Message) -> None:
        assert_type(await message.reply("hello", ImageElem(path="cat.jpg")), Message)

    @client.on_message
    def sync_answer(message: Message) -> None: ...

    @client.on_message  # type: ignore[type-var]
    async def of_lists(messages: list[Message]) -> None: ...

    @client.on_message  # type: ignore[type-var]
    def wrong_result(message: Message) -> int:
        return 1

    client.off(answer)
    assert_type(Client.from_env(data_dir=":memory:", concurrency=9), Client)
    assert_type(Client.from_server("timim-data", user_id="bot", timeout=5), Client)
    Client.from_env(loud=True)  # type: ignore[call-arg]
    Client.from_server("timim-data")  # type: ignore[call-arg]


async def routers(client: Client) -> None:
    router = Router()
    assert_type(F.text.startswith("/order") & F.is_group, Filter)
    assert_type(F.text, TextField)
    assert_type(F.text.lower() == "hi", Filter)
    assert_type(~(F.sender != "bob") | F.has(ImageElem), Filter)
    print(F.nothing)  # type: ignore[attr-defined]
    print(F.text & "x")  # type: ignore[operator]

    @router.message(F.text, lambda message: message.is_read)
    async def handle(message: Message) -> None: ...

    @router.command("remind", F.is_group, usage="/remind MINUTES TEXT")
    async def remind(message: Message, minutes: int, text: str) -> None: ...

    await remind(Message("x"), 5, "call mum")
    await remind(Message("x"), "5", "call mum")  # type: ignore[arg-type]

    @router.message()  # type: ignore[arg-type]
    async def of_lists(messages: list[Message]) -> None: ...

    router.message("x")  # type: ignore[arg-type]

    @router.middleware
    async def around(message: Message, call_next: Callable[[Message], Awaitable[None]]) -> None:
        await call_next(message)

    @router.on_error(ValueError, KeyError)
    async def failed(message: Message, error: ValueError | KeyError) -> None: ...

    assert_type(await router.feed(Message("x")), bool)
    client.on_message(router.feed)
    timim.run(client, router, drain_s=3)


async def streams(client: Client) -> None:
    assert_type(client.events(Message), EventStream[Message])
    assert_type(client.events(ConnectionLost, Message), EventStream[ConnectionLost | Message])
    assert_type(client.events(), EventStream[ClientEvent | Message])
    async with client.events(Message) as new:
        async for message in new:
            assert_type(message, Message)
    async for event in client.events(MessageRecalled, ReadReceipt):
        assert_type(event, MessageRecalled | ReadReceipt)
    client.events(int)  # type: ignore[type-var]


async def conversations(client: Client) -> None:
    bob = client.c2c("bob")
    assert_type(bob, Conversation)
    assert_type(client.group("g"), Conversation)
    assert_type(client.system(), Conversation)
    assert_type(client.conversation(ConversationType.C2C, "bob"), Conversation)
    client.conversation(1, "bob")  # type: ignore[arg-type]
    assert_type(client.conversations, ConversationList)
    assert_type(client.conversations[0], Conversation)
    assert_type(client.conversations[:2], Sequence[Conversation])
    assert_type(await client.delete_conversation(ConversationType.C2C, "bob", messages=False), bool)
    assert_type(bob.key, ConversationKey)
    assert_type(bob.unread, int)
    assert_type(bob.draft, str)
    assert_type(bob.last_message, Message | None)


async def sending(bob: Conversation, team: Conversation, old: Message) -> None:
    assert_type(await bob.send("hello"), Message)
    assert_type(await bob.send("look", ImageElem(path="cat.jpg"), push=OfflinePush(title="t")), Message)
    assert_type(await bob.send(Message("many", TextElem(text="elems")), progress=lambda done, total: None), Message)
    assert_type(await bob.send_online("typing…"), Message)
    assert_type(await team.send_red_packet(CustomElem(data=b"{}")), Message)
    assert_type(await team.send_like(CustomElem(data=b"+1")), Message)
    await team.send("hi", priority=Priority.LOW, mention=["bob", timim.ALL], reply_to=old, request_receipt=True)
    await bob.send(b"bytes")  # type: ignore[arg-type]
    await bob.send("hi", progress=lambda done: None)  # type: ignore[misc, arg-type]
    await bob.send("hi", priority="High")  # type: ignore[arg-type]
    assert_type(await team.forward([old], title="t", to=bob), Message)
    async with bob.expect(lambda message: "pong" in message.text, timeout=5) as got:
        await bob.send("ping")
    assert_type(await got, Message)
    assert_type(bob.wait_for(lambda message: message.is_self), asyncio.Future[Message])
    bob.wait_for(lambda message: message.nothing)  # type: ignore[attr-defined]


async def history(bob: Conversation) -> None:
    page = await bob.get_messages(20, before=None)
    assert_type(page, Page)
    assert_type(page[-1], Message)
    assert_type(page[:2], Sequence[Message])
    assert_type(page.complete, bool)
    assert_type(page.interval, Interval | None)
    assert_type(page.source, Literal["local", "server", "both"])
    assert_type(await bob.get_local_messages(20, before=page[-1]), Page)
    assert_type(bob.get_cached_messages(20), list[Message])
    async for message in bob.history(limit=500, include_deleted=True):
        assert_type(message, Message)
    coverage = await bob.coverage()
    assert_type(coverage, HistoryCoverage)
    assert_type(coverage.gaps, tuple[Interval, ...])
    assert_type(await bob.fetch_missing(lambda done, total: None), HistoryCoverage)
    assert_type(Coverage([(1, 4)]).missing(1, 9), tuple[Interval, ...])
    await bob.get_messages(before=7)  # type: ignore[arg-type]


async def searching(client: Client, bob: Conversation) -> None:
    result = await bob.search("发票", elem=ImageElem, fetch_missing=True)
    assert_type(result, SearchResult)
    assert_type(result[0], Message)
    assert_type(result.next, SearchCursor | None)
    assert_type(result.gaps, Mapping[ConversationKey, HistoryCoverage])
    assert_type(result.snippet(result[0]), Snippet)
    assert_type(result.snippet(result[0]).found, tuple[TextRange, ...])
    assert_type(await client.search("invoice", after=result.next), SearchResult)


async def messages(message: Message) -> None:
    assert_type(message[0], AnyElem)
    assert_type(message[1:], tuple[AnyElem, ...])
    assert_type(message.elems, tuple[AnyElem, ...])
    assert_type(message.status, MessageStatus | None)
    assert_type(message.key, ConversationKey | None)
    assert_type(message.conversation, Conversation)
    assert_type(await message.conversation.send("x"), Message)
    assert_type(message.sender_profile, SenderProfile | None)
    assert_type(message.sender_member, SenderMember | None)
    assert_type(message.reply_to, QuotedMessage | None)
    assert_type(message.reactions, Mapping[str, tuple[str, ...]])
    assert_type(message.read_receipt_count + message.unread_receipt_count, int)
    assert_type(message.add(SoundElem(data=b"data", duration=3)), Message)
    assert_type(await message.remove(), bool)
    assert_type(await message.delete_from_storage(), bool)
    assert_type(message.readers(), AsyncIterator[Reader])
    assert_type(message.not_readers(), AsyncIterator[str])
    await message.edit("…")
    await message.set_custom_int("1")  # type: ignore[arg-type]
    message.add(1)  # type: ignore[arg-type]
    print(message[0].images)  # type: ignore[union-attr]
    elem = message[0]
    match elem:
        case ImageElem():
            thumb = elem.images[ImageType.THUMB]
            assert_type(thumb, ImageVariant)
            assert_type(await thumb.download("thumb.jpg"), Path)
            assert_type(await thumb.read(), bytes)
        case MergerElem():
            assert_type(await elem.messages(), Sequence[MergedMessage])
        case UnknownElem():
            assert_type(elem.MsgContent, JsonValue)
        case _:
            pass


async def groups(client: Client) -> None:
    group = await client.groups.create("Public", name="team", members=["bob"])
    assert_type(group, Group)
    assert_type(await client.groups.create(GroupType.WORK, name="team", join_option=JoinOption.FREE), Group)
    assert_type(group.type, GroupType)
    assert_type(group.conversation, Conversation)
    info = await group.info()
    assert_type(info, GroupInfo)
    assert_type(info.type, GroupType)
    assert_type(info.join_option, JoinOption)
    assert info.type == "Public"
    assert_type(group.members(MemberRole.ADMIN, "Owner"), MemberList)
    assert_type(await group.members(), list[GroupMember])
    async for member in group.members():
        assert_type(member.role, MemberRole)
    assert_type(await group.member("bob"), GroupMember | None)
    assert_type(await group.invite("bob", ["carol"]), dict[str, bool])
    assert_type(await client.groups.join("g"), bool)
    assert_type(await client.groups.joined(), list[Group])
    await group.set_role("bob", MemberRole.ADMIN)
    await group.set_info(join_option=1)  # type: ignore[arg-type]
    await client.groups.create(3, name="team")  # type: ignore[arg-type]

    @client.on(GroupNoticeReceived)
    async def noticed(event: GroupNoticeReceived) -> None:
        assert_type(event.message, Message)


async def people(client: Client) -> None:
    assert_type(await client.friends.add("bob", wording="hi"), bool)
    assert_type(await client.friends.list(), tuple[Friend, ...])
    assert_type(await client.friends.applications(sent=True), tuple[FriendApplication, ...])
    assert_type(await client.friends.groups(), dict[str, tuple[str, ...]])
    assert_type(await client.profiles.get(["bob"]), dict[str, Profile])
    assert_type(client.profiles.cached("bob"), Profile | None)
    await client.profile.set(nickname="Alice", allow=AllowType.CONFIRM)
    await client.profile.set(allow="anybody")  # type: ignore[arg-type]


def errors() -> None:
    try:
        Message(SoundElem(path="a.amr", duration=1)).add(SoundElem(path="b.amr", duration=1))
    except timim.ElemLimitError as exc:
        assert_type(exc.code, int)
        assert_type(exc.retry_after, float | None)


async def servers() -> None:
    assert_type(Server(Settings()), Server)
    async with running_server() as server:
        assert_type(server, RunningServer)
        async with server.client("alice") as alice:
            assert_type(alice, Client)
            assert_type(await EventRecorder(alice, KickedOut).wait_for_event(KickedOut), KickedOut)
