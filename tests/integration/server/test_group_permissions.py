"""Tests of each role, action and group type against a real server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import pytest

import timim
from tests.support.users import TYPES, Users, group_for
from timim import Client, Group
from timim.server.messaging.admission import Admission
from timim.server.social import group_permissions
from timim.server.social.group_permissions import ADMIN, MEMBER, OWNER, PERMISSIONS, STRANGER, Permission
from timim.testing import LocalServer, RunningServer, local_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Cast:
    """A group with a user in each role, and a stranger. Actions are directed at the member `other`."""

    def __init__(self, users: Users, type: str) -> None:
        self.users = users
        self.type = type
        self.clients: dict[str, Client] = {}
        self.group: Group

    async def gather(self) -> None:
        for role in (OWNER, ADMIN, MEMBER, STRANGER, "other", "guest"):
            self.clients[role] = await self.users.login(role.lower())
        await self.renew()

    async def renew(self) -> None:
        """Create a new group, so that the last action's effect on the old one does not matter."""
        owner = self.clients[OWNER]
        insiders = [self.clients[role].user_id for role in (ADMIN, MEMBER, "other")]
        self.group = await owner.groups.create(self.type, name="cast", members=insiders, topics=self.type == "Community")
        await group_for(self.clients["other"], self.group).conversation.send("said by another")
        if PERMISSIONS[Permission.SET_ADMIN, self.type]:
            await self.group.set_role(self.clients[ADMIN].user_id, ADMIN)

    def roles(self) -> list[str]:
        admins = bool(PERMISSIONS[Permission.SET_ADMIN, self.type])
        return [role for role in (OWNER, ADMIN, MEMBER, STRANGER) if admins or role != ADMIN]


async def recall_of(group: Group, sender: str) -> None:
    """Recall a message of this sender in the group."""
    page = await group.conversation.get_messages(20)
    await next(m for m in page if m.sender == sender).recall()


async def pin_of(group: Group, sender: str) -> None:
    """Pin a message of this sender in the group."""
    page = await group.conversation.get_messages(20)
    await group.pins.add(next(m for m in page if m.sender == sender).seq)


Deed = Callable[[Group, Callable[[str], str]], Awaitable[object]]
DEEDS: dict[Permission, Deed] = {
    Permission.READ: lambda group, who: group.info(),
    Permission.SPEAK: lambda group, who: group.conversation.send("hello"),
    Permission.INVITE: lambda group, who: group.invite(who("guest")),
    Permission.APPROVE: lambda group, who: group.accept(who("guest")),
    Permission.KICK: lambda group, who: group.kick(who("other")),
    Permission.MUTE: lambda group, who: group.mute(who("other"), 60),
    Permission.CARD: lambda group, who: group.set_name_card("card", user_id=who("other")),
    Permission.EDIT: lambda group, who: group.set_info(introduction="new"),
    Permission.SET_ADMIN: lambda group, who: group.set_role(who("other"), ADMIN),
    Permission.TRANSFER: lambda group, who: group.transfer_ownership(who("other")),
    Permission.QUIT: lambda group, who: group.quit(),
    Permission.DISSOLVE: lambda group, who: group.dissolve(),
    Permission.RECALL: lambda group, who: recall_of(group, who("other")),
    Permission.PIN: lambda group, who: pin_of(group, who("other")),
    Permission.MENTION_ALL: lambda group, who: group.conversation.send("all of you", mention=[timim.ALL]),
    Permission.TOPICS: lambda group, who: group.topics.create("news"),
}


HARMLESS = {
    Permission.READ,
    Permission.SPEAK,
    Permission.MUTE,
    Permission.CARD,
    Permission.EDIT,
    Permission.MENTION_ALL,
    Permission.TOPICS,
}  # actions after which all roles are unchanged


def expected(role: str, type: str, act: Permission) -> str:
    if role == STRANGER:
        return "NotAMember 10007"
    if role in PERMISSIONS[act, type]:
        return "NoSuchApplication 10032" if act is Permission.APPROVE else "done"  # permitted, but there is no application
    if act is Permission.INVITE and role in PERMISSIONS[Permission.ASK_IN, type]:
        return "done"
    return "OwnerCannotQuit 10009" if act is Permission.QUIT and role == OWNER else "NoPermission 10007"


async def check_permissions(users: Users, type: str) -> None:
    """Check that each role can do what the table permits, and nothing else."""
    cast = Cast(users, type)
    await cast.gather()
    wrong: list[str] = []
    for act, deed in DEEDS.items():
        for role in cast.roles():
            try:
                await deed(group_for(cast.clients[role], cast.group), users.id)
                outcome = "done"
            except timim.TimimError as exc:
                outcome = f"{exc.__class__.__name__} {exc.code}"
            if outcome == "done" and act not in HARMLESS:
                await cast.renew()
            if outcome != expected(role, type, act):
                wrong.append(f"{role} {act.value}: {outcome}, not {expected(role, type, act)}")
    assert wrong == []
    assert set(DEEDS) | {Permission.ASK_IN} == set(Permission)


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.requirement("H8")
async def test_permissions_match_the_table_for_every_role_and_action(users: Users, type: str) -> None:
    await check_permissions(users, type)


@pytest.mark.requirement("H8")
async def test_a_server_that_permits_members_everything_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_permissions, "is_allowed", lambda *_: True)
    async with local_server() as server, AsyncExitStack() as stack:
        with pytest.raises(AssertionError, match="not NoPermission 10007"):
            await check_permissions(Users(server, stack), "Public")


async def check_mutes(server: RunningServer | LocalServer) -> None:
    """Check that a muted member, and a member of a muted group, says nothing."""
    async with server.client("alice") as alice, server.client("bob") as bob, server.client("carol") as carol:
        group = await alice.groups.create("Public", name="quiet", members=["bob", "carol"])
        theirs = group_for(bob, group).conversation
        await theirs.send("before")
        for mute in (partial(group.mute, "bob", 60), partial(group.set_info, muted_all=True)):
            await mute()
            for said in ("a word", timim.FaceElem(index=1)):
                with pytest.raises(timim.Muted):
                    await theirs.send(said)
            await group.mute("bob", 0)
        assert [m.text for m in await group_for(carol, group).conversation.get_messages(10) if m.sender == "bob"] == ["before"]


@pytest.mark.requirement("H8")
async def test_a_muted_member_says_nothing(shared_server: RunningServer) -> None:
    await check_mutes(shared_server)


@pytest.mark.requirement("H8")
async def test_a_server_without_mutes_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Admission, "_check_mutes", lambda *_: None)
    async with local_server() as server:
        with pytest.raises(pytest.fail.Exception):
            await check_mutes(server)


async def test_nobody_may_change_the_owner_and_no_admin_an_admin(users: Users) -> None:
    cast = Cast(users, "Public")
    await cast.gather()
    await cast.group.set_role(users.id("other"), ADMIN)
    group = group_for(cast.clients[ADMIN], cast.group)
    for deed in (Permission.KICK, Permission.MUTE, Permission.CARD):
        with pytest.raises(timim.NoPermission):
            await DEEDS[deed](group, users.id)
        with pytest.raises(timim.NoPermission):
            await DEEDS[deed](group, lambda _: users.id("owner"))
    await DEEDS[Permission.KICK](cast.group, users.id)
    assert users.id("other") not in [member.user_id for member in await cast.group.members()]
