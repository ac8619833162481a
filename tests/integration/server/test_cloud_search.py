"""Tests of searches at the server: membership, edits, the limits of a query, and an index that is made in parts."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.users import Users
from timim import InvalidArgument, RateLimited, TextElem
from timim.protocol import cloud_search as wire
from timim.protocol.elems import encode_body
from timim.protocol.messages import SEND_GROUP, SendGroupRequest
from timim.server.handlers import cloud_search as handlers
from timim.server.store import search as store
from timim.testing import local_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_only_members_find_the_messages_of_a_group_since_they_joined(users: Users) -> None:
    owner = await users.login("owner")
    member, late, left = await users.login("member"), await users.login("late"), await users.login("left")
    group = await owner.groups.create("Public", name="team", members=[users.id("member"), users.id("left")])
    await group.conversation.send("the first plan")
    await group.invite([users.id("late")])
    await left.groups.of(group.id).quit()
    found = await member.cloud_search.messages("plan", conversation=group.conversation.key)
    assert [(one.text, one.count) for one in found.items] == [("the first plan", 1)]
    assert (await late.cloud_search.messages("plan")).items == ()
    assert (await left.cloud_search.messages("plan")).items == ()
    body = msgspec.Raw(encode_body([TextElem(text="a hidden plan")]))
    targeted = SendGroupRequest(group_id=group.id, random=1, client_time=1, msg_body=body, receivers=[users.id("member")])
    await owner.engine.connection.link().call(SEND_GROUP, targeted, timeout_s=5)
    assert [one.text for one in (await member.cloud_search.messages("hidden")).items] == ["a hidden plan"]
    assert (await late.cloud_search.messages("plan")).items == ()
    await group.conversation.send("the last plan")
    assert [one.text for one in (await late.cloud_search.messages("plan")).items] == ["the last plan"]


async def test_an_edited_message_is_found_by_its_new_words_alone(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    message = await alice.c2c(users.id("bob")).send("breakfast")
    assert [one.text for one in (await bob.cloud_search.messages("breakfast")).items] == ["breakfast"]
    await message.edit("supper")
    assert [one.text for one in (await bob.cloud_search.messages("supper")).items] == ["supper"]
    assert (await bob.cloud_search.messages("breakfast")).items == ()
    await message.recall()
    assert (await bob.cloud_search.messages("supper")).items == ()


async def test_a_search_of_much_old_history_continues_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ENTRIES_AT_ONCE", 2)
    monkeypatch.setattr(handlers, "INDEXING_LIMIT_S", 0.0)
    async with local_server() as server, server.client("alice") as alice:
        await server.add_users("bob")
        conversation = alice.c2c("bob")
        for number in range(5):
            await conversation.send(f"note {number}")
        link = alice.engine.connection.link()
        query = wire.SearchMessagesRequest(keywords=["note"], peer="bob")
        link.paces = False  # the client does not wait and repeat the search by itself
        for _ in range(2):
            with pytest.raises(RateLimited, match="indexing"):
                await link.call(wire.SEARCH_MESSAGES, query, timeout_s=5)
        assert (await alice.cloud_search.messages("note", conversation=conversation.key)).total == 5


async def test_a_query_has_1_to_5_keywords_with_words(users: Users) -> None:
    alice = await users.login("alice")
    for words in ("", "…", "a b c d e f"):
        with pytest.raises(InvalidArgument):
            await alice.cloud_search.messages(words)
    link = alice.engine.connection.link()
    with pytest.raises(InvalidArgument, match="needs KeywordList"):
        await link.call(wire.SEARCH_MESSAGES, wire.SearchMessagesRequest(), timeout_s=5)
    with pytest.raises(InvalidArgument, match="the limit is 5"):
        await link.call(wire.SEARCH_USERS, wire.SearchUsersRequest(keywords=["x"] * 6), timeout_s=5)
    with pytest.raises(InvalidArgument, match="Keywords is empty"):
        await link.call(wire.SEARCH_GROUPS, wire.SearchGroupsRequest(), timeout_s=5)
    with pytest.raises(InvalidArgument, match="limit is 50"):
        await alice.cloud_search.members("x", groups=[f"g{number}" for number in range(51)])


async def test_users_are_found_by_parts_of_their_names_in_pages(users: Users) -> None:
    alice = await users.login("alice")
    prefix = users.id("")
    for name in ("u1", "u2", "u3"):
        await users.login(name)
    first = await alice.cloud_search.users(f"{prefix}u", count=2)
    assert ([one.user_id for one in first.items], first.total) == ([f"{prefix}u1", f"{prefix}u2"], 3)
    last = await alice.cloud_search.users(f"{prefix}u", count=2, after=first.next)
    assert ([one.user_id for one in last.items], last.next) == ([f"{prefix}u3"], "")
    link = alice.engine.connection.link()
    await alice.profile.set(details={"Gender": "Gender_Type_Female", "BirthDay": "20000101"})
    mine = [users.id("alice")]
    for query, number in (
        (wire.SearchUsersRequest(keywords=mine, gender="Gender_Type_Male"), 0),
        (wire.SearchUsersRequest(keywords=mine, gender="Gender_Type_Female"), 1),
        (wire.SearchUsersRequest(keywords=mine, born_from=20010101), 0),
        (wire.SearchUsersRequest(keywords=mine, born_from=19990101, born_until=20000101), 1),
    ):
        assert len((await link.call(wire.SEARCH_USERS, query, timeout_s=5)).users) == number
