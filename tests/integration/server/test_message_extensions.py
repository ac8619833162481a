"""Tests of the extensions of messages: values by keys, versions, limits and events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.rest import RestClient
from tests.support.users import Users
from timim import (
    AlreadyRecalled,
    AlreadySent,
    Client,
    ConversationKey,
    ConversationType,
    ExtensionsChanged,
    InvalidArgument,
    LimitReached,
    Message,
    MessageExtension,
    NoPermission,
    NotAMember,
)
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


def extensible(text: str) -> Message:
    message = Message(text)
    message.allow_extensions()
    return message


async def of_peer(client: Client, message: Message) -> Message:
    """Return the message as another member of its group sees it."""
    assert message.key is not None
    found = await client.conversation(*message.key).get_messages(1)
    return found[0]


async def test_both_users_of_a_conversation_change_extensions(users: Users) -> None:
    me, other = await users.login("me"), await users.login("other")
    mine, theirs = EventRecorder(me, ExtensionsChanged), EventRecorder(other, ExtensionsChanged)
    sent = await me.c2c(users.id("other")).send(extensible("which day?"))
    seen = await theirs.wait_for_message(lambda m: m.text == "which day?")
    assert (sent.extensible, seen.extensible, await seen.extensions.get()) == (True, True, {})
    assert await seen.extensions.set({"monday": "yes", "friday": "no"}) == frozenset()
    key = ConversationKey(ConversationType.C2C, users.id("other"))
    changed = await mine.wait_for_event(ExtensionsChanged)
    assert changed == ExtensionsChanged(key, sent.seq, users.id("other"), {"monday": "yes", "friday": "no"}, (), False)
    known = await sent.extensions.get()
    assert known == {"monday": MessageExtension("yes", 1), "friday": MessageExtension("no", 2)}
    versions = {name: one.version for name, one in known.items()}
    assert await seen.extensions.set({"monday": "perhaps"}) == frozenset()
    assert await sent.extensions.set({"monday": "never", "friday": "yes"}, versions=versions) == {"monday"}
    assert await sent.extensions.set({"friday": "x"}, versions={"friday": 0}) == {"friday"}
    assert await sent.extensions.delete(["friday", "sunday"], versions={"friday": 4}) == frozenset()
    gone = await theirs.wait_for_event(ExtensionsChanged, lambda e: bool(e.deleted))
    assert (gone.user, "friday" in gone.deleted, dict(gone.values)) == (users.id("me"), True, {})
    assert await seen.extensions.get() == {"monday": MessageExtension("perhaps", 3)}
    await seen.extensions.clear()
    await mine.wait_for_event(ExtensionsChanged, lambda e: e.cleared)
    assert await sent.extensions.get() == {}
    assert await sent.extensions.set({"monday": "again"}, versions={"monday": 0}) == frozenset()
    assert (await sent.extensions.get())["monday"].version > 4


async def test_only_members_extend_messages_that_allow_it(users: Users) -> None:
    me, other, stranger = [await users.login(name) for name in ("me", "other", "stranger")]
    group = await me.groups.create("Public", name="team", members=[users.id("other")])
    plain = await group.conversation.send("no votes")
    with pytest.raises(NoPermission):
        await plain.extensions.set({"a": "b"})
    vote = await group.conversation.send(extensible("vote"))
    with pytest.raises(AlreadySent):
        vote.allow_extensions()
    seen = await of_peer(other, vote)
    await seen.extensions.set({"a": "1"})
    assert list(await vote.extensions.get()) == ["a"]
    await group.invite(users.id("stranger"))
    await group.kick(users.id("other"))
    with pytest.raises(NotAMember):
        await seen.extensions.set({"a": "2"})
    await vote.recall()
    with pytest.raises(AlreadyRecalled):
        await vote.extensions.get()
    with pytest.raises(InvalidArgument):
        await Message("not sent").extensions.get()
    assert stranger.user_id


async def test_extensions_beyond_the_limits_are_refused(users: Users) -> None:
    me = await users.login("me")
    group = await me.groups.create("Work", name="team")
    vote = await group.conversation.send(extensible("vote"))
    for number in range(0, 300, 20):
        await vote.extensions.set({f"{number + n}": "x" for n in range(20)})
    with pytest.raises(LimitReached) as refused:
        await vote.extensions.set({"one more": "x", "7": "y"})
    assert refused.value.code == 23002
    assert (await vote.extensions.get())["7"].value == "y"
    await vote.extensions.delete(["7"])
    await vote.extensions.set({"one more": "x"})
    for values in ({"k" * 101: "x"}, {"k": "v" * 1001}, {"": "x"}, {"k": ""}, {}, dict.fromkeys(map(str, range(21)), "x")):
        with pytest.raises(InvalidArgument):
            await vote.extensions.set(values)


async def test_an_administrator_sets_extensions_over_rest(rest: RestClient, users: Users) -> None:
    me = await users.login("me")
    heard = EventRecorder(me, ExtensionsChanged)
    group = await me.groups.create("Work", name="team")
    vote = await group.conversation.send(extensible("vote"))
    named = {"GroupId": group.id, "MsgSeq": vote.seq}
    wanted = [{"Key": "k", "Value": "v", "Seq": 0}]
    await rest.done("openim_msg_ext_http_svc/group_set_key_values", named | {"OperateType": 1, "ExtensionList": wanted})
    changed = await heard.wait_for_event(ExtensionsChanged)
    assert dict(changed.values) == {"k": "v"}
    reply = await rest.done("openim_msg_ext_http_svc/group_set_key_values", named | {"OperateType": 1, "ExtensionList": wanted})
    assert [(one["ErrorCode"], one["Extension"]["Seq"]) for one in reply["ExtensionList"]] == [(23001, 1)]
    reply = await rest.done("openim_msg_ext_http_svc/group_get_key_values", named | {"StartSeq": 0})
    assert reply["ExtensionList"] == [{"Key": "k", "Value": "v", "Seq": 1}]
