"""Friends, applications, friend groups, blacklist: from two users' circles and a wish to a plan. Pure, nothing awaited.

Every change is an entry of the system timeline of each user it concerns, so all of a user's devices learn it. Results
are TIM's own ResultCodes, one an account: 0 done, 30539 the other must agree first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...errors import Blacklisted, FriendRefused, InvalidArgument, LimitReached, NoSuchApplication, NotFriends
from ...protocol import friends as sns
from ...protocol import notices as wire
from ...protocol import profiles
from ..store import mutations as ch
from ..store.base import Account, Circle, Friend
from ..store.entities import Application
from .changesets import Plan, relation

ADDED, DELETED, ASKED, ANSWERED, BLOCKED, UNBLOCKED, READ, PROFILE, CHANGED = range(1, 10)  # PushType
REMARK_LIMIT_BYTES = 96
WORDING_LIMIT_BYTES = 256
GROUPS_LIMIT = 32
BLACKLIST_LIMIT = 1000
APPLICATIONS_LIMIT = 1000  # which wait for one user; older ones must be answered first


@dataclass(frozen=True, slots=True)
class Person:
    """An account and its relations."""

    account: Account
    circle: Circle

    @property
    def user(self) -> str:
        return self.account.user_id


def checked_text(name: str, text: str, limit: int) -> str:
    """`text` within its limit. Raises InvalidArgument 30001."""
    if (size := len(text.encode())) > limit:
        raise InvalidArgument(f"{name} is {size} bytes long, the limit is {limit}", code=30001)
    return text


def added(me: Person, peer: Person, wish: sns.NewFriend, *, both: bool, force: bool, now: int, limit: int) -> tuple[Plan, bool]:
    """Add a friend, or ask to: the plan, and whether they are friends now. Raises what forbids it."""
    if peer.user == me.user:
        raise InvalidArgument("nobody is their own friend", code=30001)
    remark = checked_text("Remark", wish.remark, REMARK_LIMIT_BYTES)
    wording = checked_text("AddWording", wish.wording, WORDING_LIMIT_BYTES)
    if peer.user in me.circle.blocked:
        raise Blacklisted(f"{peer.user!r} is on your blacklist", code=30515)
    if me.user in peer.circle.blocked:
        raise Blacklisted(f"you are on the blacklist of {peer.user!r}", code=30525)
    if peer.user in me.circle.friends and (not both or me.user in peer.circle.friends):
        return Plan(), True
    groups = (wish.group,) if wish.group else ()
    asks_back = peer.user in me.circle.asked  # they asked for the same: agreed
    allow = peer.account.allow_type or profiles.NEED_CONFIRM
    if not force and not asks_back and me.user not in peer.circle.friends:
        if allow == profiles.DENY_ANY:
            raise FriendRefused(f"{peer.user!r} lets nobody add them")
        if allow == profiles.NEED_CONFIRM:
            if len(peer.circle.asked) >= APPLICATIONS_LIMIT and me.user not in peer.circle.asked:
                raise LimitReached(f"{APPLICATIONS_LIMIT} applications wait for {peer.user!r} already", code=30012)
            application = Application(wording, wish.source, remark, wish.group, both, now)
            asked = wire.FriendApplicationItem(
                account=me.user, nick=me.account.nickname, source=wish.source, wording=wording, time=now
            )
            plan = Plan([ch.SetApplication(peer.user, me.user, application)])
            plan.tell(relation(peer.user, wire.RelationContent(push_type=ASKED, asked=[asked])))
            return plan, False
    plan = Plan()
    friend = Friend(remark, groups, wish.source, wording, now)
    _befriend(plan, me, peer, friend, limit)
    if both or asks_back:
        theirs = me.circle.asked.get(peer.user)
        back = Friend(theirs.remark, (theirs.group,) if theirs.group else (), theirs.source, added=now) if theirs else None
        _befriend(plan, peer, me, back or Friend(source=wish.source, added=now), limit, mine=False)
    _settle(plan, me, peer)
    return plan, True


def answered(me: Person, peer: Person, answer: sns.ApplicationAnswer, *, now: int, limit: int) -> Plan:
    """Agree to somebody's application (and add them too), or reject it. Raises NoSuchApplication, LimitReached."""
    application = me.circle.asked.get(peer.user)
    if application is None:
        raise NoSuchApplication(f"{peer.user!r} does not ask to be your friend")
    plan = Plan()
    match answer.action:
        case sns.AGREE | sns.AGREE_AND_ADD:
            theirs = Friend(
                application.remark, (application.group,) if application.group else (), application.source, added=now
            )
            _befriend(plan, peer, me, theirs, limit, mine=False)
            if answer.action == sns.AGREE_AND_ADD:
                remark = checked_text("Remark", answer.remark, REMARK_LIMIT_BYTES)
                mine = Friend(remark, (answer.tag,) if answer.tag else (), application.source, added=now)
                _befriend(plan, me, peer, mine, limit)
        case sns.REJECT:
            pass
        case _:
            raise InvalidArgument(f"ResponseAction must not be {answer.action!r}", code=30001)
    _settle(plan, me, peer)
    return plan


def withdrawn(me: Person, peer: Person, *, mine: bool) -> Plan:
    """An application between the two is no more: mine to them, or theirs to me. Raises NoSuchApplication."""
    owner, asker = (peer, me) if mine else (me, peer)
    if asker.user not in owner.circle.asked:
        raise NoSuchApplication(f"{asker.user!r} does not ask {owner.user!r}")
    plan = Plan()
    _answer(plan, owner.user, asker.user)
    return plan


def deleted(me: Person, peer: Person, *, both: bool) -> Plan:
    """No friend of mine any more, with `both` nor I of theirs. Raises NotFriends (31704)."""
    ours = peer.user in me.circle.friends
    theirs = both and me.user in peer.circle.friends
    if not ours and not theirs:
        raise NotFriends(f"{peer.user!r} is no friend of yours", code=31704)
    plan = Plan()
    for owner, other, there in ((me, peer, ours), (peer, me, theirs)):
        if there:
            plan.change(ch.RemoveFriend(owner.user, other.user))
            plan.tell(relation(owner.user, wire.RelationContent(push_type=DELETED, deleted=[other.user])))
    return plan


def updated(me: Person, peer: str, items: Iterable[sns.FriendField]) -> Plan:
    """Another remark, other friend groups. Raises NotFriends (31704), InvalidArgument (30001)."""
    friend = after = me.circle.friends.get(peer)
    if friend is None or after is None:
        raise NotFriends(f"{peer!r} is no friend of yours", code=31704)
    for item in items:
        if item.tag == "Tag_SNS_IM_Remark":
            after = replace(after, remark=checked_text("Remark", str(item.value), REMARK_LIMIT_BYTES))
        elif item.tag == "Tag_SNS_IM_Group" and isinstance(item.value, list):
            after = replace(after, groups=tuple(dict.fromkeys(item.value)))
        else:
            raise InvalidArgument(f"a friend has no {item.tag}", code=30001)
    plan = Plan()
    if after != friend:
        plan.change(ch.SetFriend(me.user, peer, after))
        _know_groups(plan, me, after.groups)
        plan.tell(relation(me.user, wire.RelationContent(push_type=CHANGED, changed=[peer])))
    return plan


def blocked(me: Person, peer: Person, *, now: int) -> Plan:
    """On the blacklist; the friendship ends both ways, and applications between the two."""
    if peer.user == me.user:
        raise InvalidArgument("nobody blocks themselves", code=30001)
    plan = Plan()
    if peer.user in me.circle.blocked:
        return plan
    if len(me.circle.blocked) >= BLACKLIST_LIMIT:
        raise LimitReached(f"the blacklist is full: {BLACKLIST_LIMIT}", code=30013)
    plan.change(ch.SetBlocked(me.user, peer.user, now))
    plan.tell(relation(me.user, wire.RelationContent(push_type=BLOCKED, blocked=[peer.user])))
    for owner, other in ((me, peer), (peer, me)):
        if other.user in owner.circle.friends:
            plan.change(ch.RemoveFriend(owner.user, other.user))
            plan.tell(relation(owner.user, wire.RelationContent(push_type=DELETED, deleted=[other.user])))
    _settle(plan, me, peer)
    return plan


def unblocked(me: Person, peer: str) -> Plan:
    """Off the blacklist; friends they become again by asking."""
    plan = Plan()
    if peer in me.circle.blocked:
        plan.change(ch.RemoveBlocked(me.user, peer))
        plan.tell(relation(me.user, wire.RelationContent(push_type=UNBLOCKED, unblocked=[peer])))
    return plan


def grouped(me: Person, names: Iterable[str], users: Iterable[str]) -> Plan:
    """New friend groups, with these friends in each."""
    wanted = tuple(dict.fromkeys(names))
    plan = Plan()
    _know_groups(plan, me, wanted)
    changed = [user for user in users if user in me.circle.friends]
    for user in changed:
        friend = me.circle.friends[user]
        plan.change(ch.SetFriend(me.user, user, replace(friend, groups=tuple(dict.fromkeys((*friend.groups, *wanted))))))
    if plan.changes:
        plan.tell(relation(me.user, wire.RelationContent(push_type=CHANGED, changed=changed)))
    return plan


def ungrouped(me: Person, names: Iterable[str]) -> Plan:
    """These friend groups are no more; the friends stay."""
    gone = set(names) & set(me.circle.friend_groups)
    plan = Plan()
    if gone:
        plan.change(ch.SetFriendGroups(me.user, tuple(n for n in me.circle.friend_groups if n not in gone)))
        changed = [user for user, friend in me.circle.friends.items() if gone & set(friend.groups)]
        for user in changed:
            friend = me.circle.friends[user]
            left = tuple(name for name in friend.groups if name not in gone)
            plan.change(ch.SetFriend(me.user, user, replace(friend, groups=left)))
        plan.tell(relation(me.user, wire.RelationContent(push_type=CHANGED, changed=changed)))
    return plan


def profile_changed(me: Person, after: Account, tags: Iterable[wire.ProfileTag]) -> Plan:
    """A profile changes: the user's own devices and friends hear of it. Who has them as a friend one way only does not:
    there is no bound to how many those are, and `profile.portrait_get` tells them the version.
    """
    content = wire.RelationContent(push_type=PROFILE, profile=me.user, profile_fields=list(tags), version=after.version)
    friends = sorted(me.circle.friends.keys() & me.circle.listed_by)
    return Plan([ch.SetAccount(after)], [relation(user, content) for user in (me.user, *friends)])


def _befriend(plan: Plan, owner: Person, other: Person, friend: Friend, limit: int, *, mine: bool = True) -> None:
    if other.user in owner.circle.friends:
        return
    if len(owner.circle.friends) >= limit:
        raise LimitReached(f"{owner.user!r} has {limit} friends, and cannot have more", code=30010 if mine else 30014)
    plan.change(ch.SetFriend(owner.user, other.user, friend))
    _know_groups(plan, owner, friend.groups)
    plan.tell(relation(owner.user, wire.RelationContent(push_type=ADDED, added=[other.user])))


def _settle(plan: Plan, me: Person, peer: Person) -> None:
    """Applications between the two are answered."""
    for owner, other in ((me, peer), (peer, me)):
        if other.user in owner.circle.asked:
            _answer(plan, owner.user, other.user)


def _answer(plan: Plan, owner: str, asker: str) -> None:
    plan.change(ch.RemoveApplication(owner, asker))
    for user, gone in ((owner, asker), (asker, owner)):
        plan.tell(relation(user, wire.RelationContent(push_type=ANSWERED, answered=[gone])))


def _know_groups(plan: Plan, owner: Person, names: Iterable[str]) -> None:
    known = owner.circle.friend_groups
    new = [name for name in names if name not in known]
    if not new:
        return
    if any(not 0 < len(name.encode()) <= 30 for name in new):
        raise InvalidArgument("the name of a friend group is 1 to 30 bytes long", code=30001)
    if len(known) + len(new) > GROUPS_LIMIT:
        raise LimitReached(f"at most {GROUPS_LIMIT} friend groups", code=30011)
    plan.change(ch.SetFriendGroups(owner.user, (*known, *new)))
