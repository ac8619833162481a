"""Tests of groups against a real server: joins, tips and notices of changes, and the limits of former members."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import timim
from tests.support.raw_database import store_of
from tests.support.users import TYPES, Users, group_for
from timim import GroupChanged, GroupNoticeReceived, GroupNoticeType, GroupTipElem, GroupTipType, JoinOption
from timim.server.social.group_permissions import ADMIN, MEMBER, OWNER
from timim.testing import EventRecorder, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_joining_is_free_or_by_application_or_forbidden(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    outcomes: dict[str, bool | None] = {}
    for type in TYPES:
        group = await alice.groups.create(type, name=type)
        try:
            outcomes[type] = await bob.groups.join(group.id)
        except timim.NoPermission:
            outcomes[type] = None
        if outcomes[type] and type != "AVChatRoom":
            with pytest.raises(timim.AlreadyMember):
                await bob.groups.join(group.id)
    assert outcomes == {"Work": None, "Public": False, "Meeting": True, "AVChatRoom": True, "Community": True}
    public = await alice.groups.create("Public", name="open", join_option=JoinOption.FREE)
    assert await bob.groups.join(public.id)
    await public.set_info(join_option=JoinOption.CLOSED)
    carol = await users.login("carol")
    with pytest.raises(timim.NoPermission):
        await carol.groups.join(public.id)
    with pytest.raises(timim.InvalidArgument):
        await alice.groups.create("Work", name="w", join_option=JoinOption.FREE)


@pytest.mark.requirement("F34")
async def test_an_application_is_answered_from_its_notice(users: Users) -> None:
    alice, bob, carol = [await users.login(name) for name in ("alice", "bob", "carol")]
    at_alice, at_bob, at_carol = (EventRecorder(client, GroupNoticeReceived) for client in (alice, bob, carol))
    group = await alice.groups.create("Public", name="team")
    assert not await bob.groups.join(group.id, wording="let me in")
    assert not await carol.groups.join(group.id)
    asked = await at_alice.wait_for_event(GroupNoticeReceived, lambda e: e.notice.operator == bob.user_id)
    assert (asked.notice.type, asked.notice.text, asked.group_id) == (GroupNoticeType.APPLIED, "let me in", group.id)
    with pytest.raises(timim.NotAMember):
        await group_for(bob, group).accept(bob.user_id)
    await group.accept(bob.user_id)
    await group.refuse(carol.user_id, text="not now")
    accepted = await at_bob.wait_for_event(GroupNoticeReceived)
    assert accepted.notice.type is GroupNoticeType.ACCEPTED
    refused = await at_carol.wait_for_event(GroupNoticeReceived)
    assert (refused.notice.type, refused.notice.text) == (GroupNoticeType.REFUSED, "not now")
    with pytest.raises(timim.NoSuchApplication):
        await group.accept(carol.user_id)
    with pytest.raises(timim.AlreadyMember):
        await group.accept(bob.user_id)
    await group_for(bob, group).conversation.send("thank you")


async def test_a_members_invitation_to_a_public_group_asks_the_admins(users: Users) -> None:
    alice, bob, carol, dave = [await users.login(name) for name in ("alice", "bob", "carol", "dave")]
    at_alice, at_bob, at_carol = (EventRecorder(client, GroupNoticeReceived) for client in (alice, bob, carol))
    group = await alice.groups.create("Public", name="team", members=[bob.user_id])
    assert await group_for(bob, group).invite(carol.user_id, [dave.user_id]) == {carol.user_id: False, dave.user_id: False}
    asked = await at_alice.wait_for_event(GroupNoticeReceived, lambda e: e.notice.type is GroupNoticeType.INVITE_REQUESTED)
    assert (asked.notice.operator, asked.notice.users) == (bob.user_id, (carol.user_id,))
    await group.accept_invitation(carol.user_id)
    await group.refuse_invitation(dave.user_id)
    yes = await at_bob.wait_for_event(GroupNoticeReceived, lambda e: e.notice.type is GroupNoticeType.INVITE_ACCEPTED)
    no = await at_bob.wait_for_event(GroupNoticeReceived, lambda e: e.notice.type is GroupNoticeType.INVITE_REFUSED)
    assert (yes.notice.users, no.notice.users) == ((carol.user_id,), (dave.user_id,))
    assert (await at_carol.wait_for_event(GroupNoticeReceived)).notice.type is GroupNoticeType.INVITED
    assert [member.user_id for member in await group.members()] == [alice.user_id, bob.user_id, carol.user_id]


@pytest.mark.requirement("F34")
async def test_every_change_of_a_group_is_a_tip_in_its_timeline(users: Users) -> None:
    alice, bob, carol = [await users.login(name) for name in ("alice", "bob", "carol")]
    watch = EventRecorder(bob, GroupChanged)
    group = await alice.groups.create("Public", name="team", members=[bob.user_id])
    await group.invite(carol.user_id)
    await group.set_info(name="crew", custom={"colour": "red"})
    await group.set_name_card("Al")
    await group.set_role(carol.user_id, ADMIN)
    await group.mute(carol.user_id, 30)
    await group.set_role(carol.user_id, MEMBER)
    await group.set_attributes({"score": "1"})
    await group.kick(carol.user_id, reason="too loud")
    await group.transfer_ownership(bob.user_id)
    await group.quit()
    last = await watch.wait_for_event(GroupChanged, lambda e: e.tip.type is GroupTipType.QUIT)
    tips = [event.tip for event in watch.events if isinstance(event, GroupChanged)]
    assert [tip.type for tip in tips] == [1, 6, 7, 4, 7, 5, 6, 3, 6, 2]
    joined, named, carded, _, muted, _, scored, kicked, passed, left = tips
    assert (joined.operator, joined.users, joined.member_count) == (alice.user_id, (carol.user_id,), 3)
    assert named.changes == {"GroupName": "crew", "TimelineCustom": {"colour": "red"}}
    assert carded.member_changes == {alice.user_id: {"NameCard": "Al"}}
    assert muted.member_changes == {carol.user_id: {"ShutupTime": 30}}
    assert scored.changes == {"TimelineAttributes": {"score": "1"}}
    assert (kicked.users, kicked.reason, kicked.member_count) == ((carol.user_id,), "too loud", 2)
    assert passed.changes == {"Owner_Account": bob.user_id}
    assert (left.users, left.member_count) == ((alice.user_id,), 1)
    assert [event.message.seq for event in watch.events if isinstance(event, GroupChanged)] == list(range(1, 11))
    assert (last.message.sender, last.message.is_self, last.message.sender_member) is not None
    # a device of bob that was offline reads the same tips from the group's history
    later = await users.login("bob")
    page = await later.group(group.id).get_messages(20)
    assert page.complete
    assert [message[0] for message in reversed(page)] == tips


async def test_a_change_without_effect_takes_no_seq(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    group = await alice.groups.create("Public", name="team", members=[bob.user_id])
    await group.set_info(name="team")
    await group.set_role(bob.user_id, MEMBER)
    await group.kick(users.id("nobody"))
    await group.transfer_ownership(alice.user_id)
    assert await group.invite(bob.user_id) == {bob.user_id: True}
    assert (await group.conversation.send("one")).seq == 1


async def test_history_before_joining_is_readable_only_in_types_that_allow_it(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    for type, texts in (("Meeting", ["", "before"]), ("Community", [""]), ("AVChatRoom", [""])):
        group = await alice.groups.create(type, name="g")
        await group.conversation.send("before")
        assert await bob.groups.join(group.id)
        page = await bob.group(group.id).get_messages(20)
        assert ([message.text for message in page], page.complete) == (texts, True)
        assert isinstance(page[0][0], GroupTipElem)  # the tip of the own join is the first visible entry


async def test_a_kicked_member_reads_nothing_and_a_rejoined_one_no_messages_from_between(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    watch = EventRecorder(bob, GroupChanged, GroupNoticeReceived)
    group = await alice.groups.create("Public", name="team", members=[bob.user_id])
    await group.conversation.send("one")
    await watch.wait_for_message(lambda m: m.text == "one")
    await group.kick(bob.user_id)
    notice = await watch.wait_for_event(GroupNoticeReceived, lambda e: e.notice.type is GroupNoticeType.KICKED)
    assert (notice.notice.operator, notice.notice.group_name) == (alice.user_id, "team")
    await group.conversation.send("behind his back")
    with pytest.raises(timim.NotAMember):
        await bob.group(group.id).send("hello?")
    with pytest.raises(timim.NotAMember):
        await (await users.login("bob")).group(group.id).get_messages(20)  # a device with an empty local store
    outside = group_for(bob, group)
    for refused in (outside.info, outside.members, outside.attributes, lambda: outside.member(bob.user_id)):
        with pytest.raises(timim.NotAMember):
            await refused()
    held = await bob.group(group.id).get_local_messages(20)
    assert [m.text for m in held] == ["hello?", "one"]  # stored messages stay on this device; bob's own message was refused
    await group.invite(bob.user_id)
    await watch.wait_for_event(GroupChanged, lambda e: e.tip.users == (bob.user_id,))
    await group.conversation.send("again")
    await watch.wait_for_message(lambda m: m.text == "again")
    assert (await bob.group(group.id).coverage()).intervals == ((1, 1), (4, 5))
    fresh = await users.login("bob")
    assert [m.text for m in await fresh.group(group.id).get_messages(20)] == ["again", ""]


async def test_tips_do_not_count_as_unread_and_notices_do(users: Users, tmp_path: Path) -> None:
    alice = await users.login("alice")
    bob = users.server.client(users.id("bob"), data_dir=tmp_path)
    watch = EventRecorder(bob)
    async with bob:
        group = await alice.groups.create("Public", name="g", members=[bob.user_id])
        await group.set_info(name="h")
        await group.conversation.send("one")
        await group.set_info(name="i")
        await watch.wait_for_messages(4)
        assert (bob.group(group.id).unread, bob.system().unread) == (1, 1)
    async with users.server.client(users.id("bob"), data_dir=tmp_path) as again:
        assert (again.group(group.id).unread, again.system().unread) == (1, 1)
        await again.group(group.id).mark_read()
        assert again.group(group.id).unread == 0


async def test_a_dissolved_group_is_readable_by_nobody_and_its_id_stays_taken(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    watch = EventRecorder(bob, GroupNoticeReceived)
    id = users.id("group")
    group = await alice.groups.create("Public", name="team", id=id, members=[bob.user_id])
    await group.conversation.send("secret")
    await group.dissolve()
    ended = await watch.wait_for_event(GroupNoticeReceived, lambda e: e.notice.type is GroupNoticeType.DISSOLVED)
    assert ended.group_id == id
    for client in (alice, bob):
        with pytest.raises(timim.UnknownGroup) as gone:
            await client.group(id).send("still there?")
        assert gone.value.code == 10010
        assert await client.groups.joined() == []
    with pytest.raises(timim.GroupExists) as taken:
        await bob.groups.create("Public", name="mine now", id=id)
    assert taken.value.code == 10021
    fresh = await users.login("bob")
    with pytest.raises(timim.UnknownGroup):
        await fresh.group(id).get_messages(20)


async def test_the_owner_of_a_work_group_may_leave_and_the_last_member_ends_it(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    group = await alice.groups.create("Private", name="two", members=[bob.user_id])
    await group.quit()
    assert (await group_for(bob, group).info()).owner == bob.user_id
    await group_for(bob, group).quit()
    with pytest.raises(timim.UnknownGroup):
        await group_for(bob, group).info()


async def test_a_muted_member_and_a_muted_group_are_silent(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    told = EventRecorder(bob, GroupChanged)
    group = await alice.groups.create("Meeting", name="hall", members=[bob.user_id])

    async def changed(act: Awaitable[None], times: int) -> None:
        """Make a change, and wait until bob has received its tip, so that his gateway has applied the change."""
        await act
        await told.wait_for_event(GroupChanged, lambda _: len(told.events) == times)

    await changed(group.mute(bob.user_id, 100), 1)
    with pytest.raises(timim.Muted) as muted:
        await bob.group(group.id).send("but")
    assert muted.value.code == 10017
    assert muted.value.retry_after is not None
    assert 0 < muted.value.retry_after <= 100
    member = await group.member(bob.user_id)
    assert member is not None
    assert member.muted_until > member.joined
    await changed(group.mute(bob.user_id, 0), 2)
    await bob.group(group.id).send("thanks")
    await changed(group.set_info(muted_all=True), 3)
    with pytest.raises(timim.Muted):
        await bob.group(group.id).send("all of us?")
    await group.conversation.send("the owner speaks")
    await changed(group.set_info(muted_all=False), 4)
    await bob.group(group.id).send("at last")


async def test_info_cards_custom_fields_and_attributes_are_kept(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    watch = EventRecorder(bob)
    group = await alice.groups.create(
        "Public", name="团队", introduction="i", notification="n", custom={"a": "1"}, members=[bob.user_id]
    )
    await group.set_info(face_url="http://x/y.png", max_members=5, custom={"b": "2", "a": ""})
    await group.set_name_card("阿爱", user_id=None)
    await group.set_member_custom({"level": "7"})
    await group.set_attributes({"k": "v", "gone": "1"})
    await group.set_attributes({"gone": ""})
    facts = await group_for(bob, group).info()
    assert (facts.name, facts.introduction, facts.notification, facts.face_url) == ("团队", "i", "n", "http://x/y.png")
    assert (facts.owner, facts.member_count, facts.max_members, facts.custom) == (alice.user_id, 2, 5, {"b": "2"})
    assert await group_for(bob, group).attributes() == {"k": "v"}
    member = await group_for(bob, group).member(alice.user_id)
    assert member is not None
    assert (member.name_card, member.custom, member.role) == ("阿爱", {"level": "7"}, OWNER)
    assert await group.member(users.id("nobody")) is None
    await group.conversation.send("with my card")
    sent = await watch.wait_for_message(lambda m: m.text == "with my card")
    assert sent.sender_member == timim.SenderMember(alice.user_id, "阿爱", OWNER, {"level": "7"})


async def test_a_stranger_sees_only_the_public_info_of_a_group(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    public = await alice.groups.create("Public", name="open", introduction="come in", notification="secret", custom={"k": "v"})
    facts = await group_for(bob, public).public_info()
    assert (facts.name, facts.introduction, facts.owner, facts.member_count) == ("open", "come in", alice.user_id, 1)
    assert (facts.notification, facts.custom) == ("", {})
    work = await alice.groups.create("Work", name="closed")
    with pytest.raises(timim.NoPermission):
        await group_for(bob, work).public_info()


async def test_every_code_of_groups_is_a_named_exception(users: Users) -> None:
    alice, bob, carol, dave = [await users.login(name) for name in ("alice", "bob", "carol", "dave")]
    group = await alice.groups.create("Public", name="g", id=users.id("g"), members=[bob.user_id], max_members=2)
    many = [users.id(f"x{n}") for n in range(501)]
    await carol.groups.join(group.id)
    cases: list[tuple[int, type[timim.TimimError], Callable[[], Awaitable[object]]]] = [
        (10004, timim.InvalidArgument, lambda: alice.groups.create("Secret", name="g")),
        (10004, timim.InvalidArgument, lambda: alice.groups.create("Public", name="x" * 31)),
        (10004, timim.InvalidArgument, lambda: alice.groups.create("Public", name="g", introduction="x" * 241)),
        (10004, timim.InvalidArgument, lambda: group.set_info(notification="x" * 301)),
        (10004, timim.InvalidArgument, lambda: group.set_info(custom={str(n): "x" for n in range(21)})),
        (10004, timim.InvalidArgument, lambda: group.set_name_card("x" * 51)),
        (10007, timim.NoPermission, lambda: group_for(bob, group).set_info(name="mine")),
        (10007, timim.NotAMember, lambda: group_for(carol, group).info()),
        (10009, timim.OwnerCannotQuit, group.quit),
        (10010, timim.UnknownGroup, lambda: alice.groups.join("no-such-group")),
        (10013, timim.AlreadyMember, lambda: bob.groups.join(group.id)),
        (10014, timim.LimitReached, lambda: group.accept(carol.user_id)),
        (10014, timim.LimitReached, lambda: group.invite(carol.user_id)),
        (10015, timim.InvalidArgument, lambda: alice.groups.create("Public", name="g", id="@TGS#mine")),
        (10021, timim.GroupExists, lambda: bob.groups.create("Public", name="g", id=group.id)),
        (10032, timim.NoSuchApplication, lambda: group.refuse(dave.user_id)),
        (10037, timim.InvalidArgument, lambda: group.invite(many[:101])),
        (10038, timim.InvalidArgument, lambda: group.kick(many)),
        (20003, timim.UnknownUser, lambda: alice.groups.create("Public", name="g", members=[users.id("nobody")])),
    ]
    for code, kind, refused in cases:
        with pytest.raises(kind) as raised:
            await refused()
        assert raised.value.code == code, raised.value
    assert [member.user_id for member in await group.members()] == [alice.user_id, bob.user_id]


async def test_nobody_can_forge_an_elem_of_the_server(users: Users) -> None:
    alice, bob = await users.login("alice"), await users.login("bob")
    group = await alice.groups.create("Public", name="g", members=[bob.user_id])
    forged = timim.UnknownElem(MsgType="TIMGroupTipElem", content=b'{"OpType":3,"List_Account":["bob"]}')
    for conversation in (bob.group(group.id), bob.c2c(alice.user_id)):
        with pytest.raises(timim.InvalidElem) as refused:
            await conversation.send(forged)
        assert refused.value.code == 90010
    with pytest.raises(timim.InvalidElem):
        await bob.c2c(alice.user_id).send(GroupTipElem(type=GroupTipType.KICK))


async def test_a_subtype_of_the_future_keeps_its_number() -> None:
    from timim.protocol.elems import decode_elem

    tip = decode_elem("TIMGroupTipElem", b'{"OpType":99,"Operator_Account":"a","New":{"x":1}}')
    assert isinstance(tip, GroupTipElem)
    assert (tip.type, tip.operator) == (99, "a")
    known = decode_elem("TIMGroupTipElem", b'{"OpType":1}')
    assert isinstance(known, GroupTipElem)
    assert known.type is GroupTipType.JOIN
    assert isinstance(decode_elem("TIMGroupTipElem", b'{"Operator_Account":"a"}'), timim.UnknownElem)


async def test_all_250_members_of_a_group_are_listed_by_page_and_get_each_message(tmp_path: Path) -> None:
    users = [f"u{n}" for n in range(250)]
    store = await asyncio.to_thread(store_of, tmp_path)
    await store.open()
    await asyncio.gather(*(store.accounts.ensure(user) for user in users))  # like accounts that have logged in once
    await store.close()
    async with (
        running_server(data_dir=tmp_path) as server,
        server.client("owner") as owner,
        server.client("u7") as early,
        server.client("u249") as late,
    ):
        hearing = [EventRecorder(early), EventRecorder(late)]
        group = await owner.groups.create("Community", name="big", members=users[:100])
        assert all((await group.invite(users[100:200])).values())
        await group.invite(*users[200:])
        await group.set_role("u42", ADMIN)
        members = await group.members()
        assert [member.user_id for member in members] == ["owner", *users]
        assert [member.user_id async for member in group.members(ADMIN, OWNER)] == ["owner", "u42"]
        async for member in group_for(late, group).members():
            assert member.user_id == "owner"
            break
        facts = await group.info()
        assert (facts.member_count, facts.max_members) == (251, 100_000)
        await group.conversation.send("all of you")
        for watch in hearing:
            await watch.wait_for_message(lambda m: m.text == "all of you")
        first_seen = [min(m.seq for m in watch.messages if m.key == group.conversation.key) for watch in hearing]
        assert first_seen == [1, 2]  # u7 was a member from the beginning; u249 joined with the second tip
