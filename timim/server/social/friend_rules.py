"""Rules of friends, applications, friend groups and blacklists: changesets for the relationships of two users. Pure.

Every change is an entry in the system timeline of each affected user, so that all devices of the users get it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ...elem_base import RelationType
from ...errors import Blacklisted, FriendRefused, InvalidArgument, LimitReached, NoSuchApplication, NotFriends
from ...protocol import friends as sns
from ...protocol import notices as wire
from ...protocol import profiles
from ..store import mutations as ch
from ..store.base import Relationships, StoredAccount, StoredFriend
from ..store.entities import StoredApplication
from .changesets import Changeset, relation

REMARK_LIMIT_BYTES = 96
WORDING_LIMIT_BYTES = 256
GROUPS_LIMIT = 32
BLACKLIST_LIMIT = 1000
APPLICATIONS_LIMIT = 1000  # unanswered applications of one user


@dataclass(frozen=True, slots=True)
class Person:
    """An account and its relationships."""

    account: StoredAccount
    relationships: Relationships

    @property
    def user(self) -> str:
        return self.account.user_id


def checked_text(name: str, text: str, limit: int) -> str:
    """Return `text` if it has at most `limit` bytes. Raises InvalidArgument (30001)."""
    if (size := len(text.encode())) > limit:
        raise InvalidArgument(f"{name} is {size} bytes long; the limit is {limit}", code=30001)
    return text


def added(
    me: Person, peer: Person, wanted: sns.NewFriend, *, both: bool, force: bool, now: int, limit: int
) -> tuple[Changeset, bool]:
    """Add a friend, or send a friend request.

    Returns:
        The changeset, and True if the users are friends now, False if the request must be accepted.

    Raises:
        InvalidArgument: The users are the same, or a text is too long (30001).
        Blacklisted: One user is on the blacklist of the other (30515, 30525).
        FriendRefused: The peer accepts no friend requests.
        LimitReached: One of the users has too many friends, friend groups or applications.
    """
    if peer.user == me.user:
        raise InvalidArgument("users cannot add themselves as a friend", code=30001)
    remark = checked_text("Remark", wanted.remark, REMARK_LIMIT_BYTES)
    wording = checked_text("AddWording", wanted.wording, WORDING_LIMIT_BYTES)
    if peer.user in me.relationships.blocked:
        raise Blacklisted(f"{peer.user!r} is on your blacklist; remove them from it first", code=30515)
    if me.user in peer.relationships.blocked:
        raise Blacklisted(f"you are on the blacklist of {peer.user!r}", code=30525)
    if peer.user in me.relationships.friends and (not both or me.user in peer.relationships.friends):
        return Changeset(), True
    groups = (wanted.group,) if wanted.group else ()
    asks_back = peer.user in me.relationships.received_requests  # mutual requests count as accepted
    allow = peer.account.allow_type or profiles.NEED_CONFIRM
    if not force and not asks_back and me.user not in peer.relationships.friends:
        if allow == profiles.DENY_ANY:
            raise FriendRefused(f"{peer.user!r} does not accept friend requests")
        if allow == profiles.NEED_CONFIRM:
            if (
                len(peer.relationships.received_requests) >= APPLICATIONS_LIMIT
                and me.user not in peer.relationships.received_requests
            ):
                text = f"{peer.user!r} has {APPLICATIONS_LIMIT} unanswered friend requests, which is the limit; try again later"
                raise LimitReached(text, code=30012)
            application = StoredApplication(wording, wanted.source, remark, wanted.group, both, now)
            asked = wire.FriendApplicationItem(
                account=me.user, nick=me.account.nickname, source=wanted.source, wording=wording, time=now
            )
            changeset = Changeset([ch.SetApplication(peer.user, me.user, application)])
            changeset.notify(relation(peer.user, wire.RelationContent(push_type=RelationType.APPLICATION_ADDED, asked=[asked])))
            return changeset, False
    changeset = Changeset(forced=force)
    friend = StoredFriend(remark, groups, wanted.source, wording, now)
    _befriend(changeset, me, peer, friend, limit)
    if both or asks_back:
        theirs = me.relationships.received_requests.get(peer.user)
        back = (
            StoredFriend(theirs.remark, (theirs.group,) if theirs.group else (), theirs.source, added=now) if theirs else None
        )
        _befriend(changeset, peer, me, back or StoredFriend(source=wanted.source, added=now), limit, mine=False)
    _remove_applications(changeset, me, peer)
    return changeset, True


def imported(me: Person, peer: Person, friend: StoredFriend, *, limit: int) -> Changeset:
    """Add a friend to one list without asking anybody. A friend who is there already stays as it is.

    Raises:
        InvalidArgument: The users are the same, or a text is too long (30001).
        LimitReached: The user has too many friends or friend groups.
    """
    if peer.user == me.user:
        raise InvalidArgument("users cannot add themselves as a friend", code=30001)
    checked_text("Remark", friend.remark, REMARK_LIMIT_BYTES)
    checked_text("AddWording", friend.wording, WORDING_LIMIT_BYTES)
    changeset = Changeset()
    _befriend(changeset, me, peer, friend, limit)
    return changeset


def answered(me: Person, peer: Person, answer: sns.ApplicationAnswer, *, now: int, limit: int) -> Changeset:
    """Accept a friend request, optionally adding the applicant as well, or reject it.

    Raises:
        NoSuchApplication: The peer has no unanswered request.
        LimitReached: One of the users has too many friends or friend groups.
        InvalidArgument: The action is unknown, or a text is too long (30001).
    """
    application = me.relationships.received_requests.get(peer.user)
    if application is None:
        raise NoSuchApplication(f"there is no friend request of {peer.user!r}; it may have been answered or withdrawn")
    changeset = Changeset()
    match answer.action:
        case sns.AGREE | sns.AGREE_AND_ADD:
            theirs = StoredFriend(
                application.remark, (application.group,) if application.group else (), application.source, added=now
            )
            _befriend(changeset, peer, me, theirs, limit, mine=False)
            if answer.action == sns.AGREE_AND_ADD:
                remark = checked_text("Remark", answer.remark, REMARK_LIMIT_BYTES)
                mine = StoredFriend(remark, (answer.tag,) if answer.tag else (), application.source, added=now)
                _befriend(changeset, me, peer, mine, limit)
        case sns.REJECT:
            pass
        case _:
            raise InvalidArgument(f"ResponseAction {answer.action!r} does not exist", code=30001)
    _remove_applications(changeset, me, peer)
    return changeset


def withdrawn(me: Person, peer: Person, *, mine: bool) -> Changeset:
    """Delete the friend request to `peer` if `mine`, otherwise the one from `peer`. Raises NoSuchApplication."""
    owner, asker = (peer, me) if mine else (me, peer)
    if asker.user not in owner.relationships.received_requests:
        raise NoSuchApplication(f"there is no friend request of {asker.user!r} to {owner.user!r}")
    changeset = Changeset()
    _remove_application(changeset, owner.user, asker.user)
    return changeset


def deleted(me: Person, peer: Person, *, both: bool) -> Changeset:
    """Delete a friend. If `both`, delete the friendship in the other direction too. Raises NotFriends (31704)."""
    ours = peer.user in me.relationships.friends
    theirs = both and me.user in peer.relationships.friends
    if not ours and not theirs:
        raise NotFriends(f"{peer.user!r} is not your friend", code=31704)
    changeset = Changeset()
    for owner, other, there in ((me, peer, ours), (peer, me, theirs)):
        if there:
            changeset.change(ch.RemoveFriend(owner.user, other.user))
            changeset.notify(
                relation(owner.user, wire.RelationContent(push_type=RelationType.FRIEND_DELETED, deleted=[other.user]))
            )
    return changeset


def updated(me: Person, peer: str, items: Iterable[sns.FriendField]) -> Changeset:
    """Change the remark or the friend groups of a friend. Raises NotFriends (31704), InvalidArgument (30001)."""
    friend = after = me.relationships.friends.get(peer)
    if friend is None or after is None:
        raise NotFriends(f"{peer!r} is not your friend", code=31704)
    for item in items:
        if item.tag == "Tag_SNS_IM_Remark":
            after = replace(after, remark=checked_text("Remark", str(item.value), REMARK_LIMIT_BYTES))
        elif item.tag == "Tag_SNS_IM_Group" and isinstance(item.value, list):
            after = replace(after, groups=tuple(dict.fromkeys(item.value)))
        else:
            raise InvalidArgument(f"tag {item.tag} cannot be set; use Tag_SNS_IM_Remark or Tag_SNS_IM_Group", code=30001)
    changeset = Changeset()
    if after != friend:
        changeset.change(ch.SetFriend(me.user, peer, after))
        _add_missing_groups(changeset, me, after.groups)
        changeset.notify(relation(me.user, wire.RelationContent(push_type=RelationType.FRIEND_CHANGED, changed=[peer])))
    return changeset


def blocked(me: Person, peer: Person, *, now: int) -> Changeset:
    """Add a user to the blacklist, and delete the friendship and friend requests in both directions.

    Raises:
        InvalidArgument: The users are the same (30001).
        LimitReached: The blacklist is full.
    """
    if peer.user == me.user:
        raise InvalidArgument("users cannot block themselves", code=30001)
    changeset = Changeset()
    if peer.user in me.relationships.blocked:
        return changeset
    if len(me.relationships.blocked) >= BLACKLIST_LIMIT:
        raise LimitReached(f"the blacklist has {BLACKLIST_LIMIT} users, which is the limit; remove one first", code=30013)
    changeset.change(ch.SetBlocked(me.user, peer.user, now))
    changeset.notify(relation(me.user, wire.RelationContent(push_type=RelationType.BLACKLIST_ADDED, blocked=[peer.user])))
    for owner, other in ((me, peer), (peer, me)):
        if other.user in owner.relationships.friends:
            changeset.change(ch.RemoveFriend(owner.user, other.user))
            changeset.notify(
                relation(owner.user, wire.RelationContent(push_type=RelationType.FRIEND_DELETED, deleted=[other.user]))
            )
    _remove_applications(changeset, me, peer)
    return changeset


def unblocked(me: Person, peer: str) -> Changeset:
    """Remove a user from the blacklist. The friendship is not restored."""
    changeset = Changeset()
    if peer in me.relationships.blocked:
        changeset.change(ch.RemoveBlocked(me.user, peer))
        changeset.notify(relation(me.user, wire.RelationContent(push_type=RelationType.BLACKLIST_DELETED, unblocked=[peer])))
    return changeset


def grouped(me: Person, names: Iterable[str], users: Iterable[str]) -> Changeset:
    """Add friend groups, and put these friends into each of them."""
    wanted = tuple(dict.fromkeys(names))
    changeset = Changeset()
    _add_missing_groups(changeset, me, wanted)
    changed = [user for user in users if user in me.relationships.friends]
    for user in changed:
        friend = me.relationships.friends[user]
        changeset.change(ch.SetFriend(me.user, user, replace(friend, groups=tuple(dict.fromkeys((*friend.groups, *wanted))))))
    if changeset.changes:
        changeset.notify(relation(me.user, wire.RelationContent(push_type=RelationType.FRIEND_CHANGED, changed=changed)))
    return changeset


def ungrouped(me: Person, names: Iterable[str]) -> Changeset:
    """Remove friend groups, without removing their friends."""
    gone = set(names) & set(me.relationships.friend_groups)
    changeset = Changeset()
    if gone:
        changeset.change(ch.SetFriendGroups(me.user, tuple(n for n in me.relationships.friend_groups if n not in gone)))
        changed = [user for user, friend in me.relationships.friends.items() if gone & set(friend.groups)]
        for user in changed:
            friend = me.relationships.friends[user]
            left = tuple(name for name in friend.groups if name not in gone)
            changeset.change(ch.SetFriend(me.user, user, replace(friend, groups=left)))
        changeset.notify(relation(me.user, wire.RelationContent(push_type=RelationType.FRIEND_CHANGED, changed=changed)))
    return changeset


def regrouped(me: Person, name: str, new_name: str, wanted: Mapping[str, bool]) -> Changeset:
    """Rename a friend group, and put friends into it (True) or take them out of it (False). Other users are ignored.

    Raises:
        InvalidArgument: There is no such friend group, or the new name is taken, empty or too long (30001).
    """
    known = me.relationships.friend_groups
    if name not in known:
        raise InvalidArgument(f"there is no friend group {name!r}; add it first", code=30001)
    if new_name != name and (new_name in known or not 0 < len(new_name.encode()) <= 30):
        raise InvalidArgument("the new name of a friend group must be unused, and 1 to 30 bytes long", code=30001)
    changeset, changed = Changeset(), []
    if new_name != name:
        changeset.change(ch.SetFriendGroups(me.user, tuple(new_name if one == name else one for one in known)))
    for user, friend in me.relationships.friends.items():
        groups = [new_name if one == name else one for one in friend.groups]
        if wanted.get(user, new_name in groups) and new_name not in groups:
            groups.append(new_name)
        elif not wanted.get(user, True) and new_name in groups:
            groups.remove(new_name)
        if tuple(groups) != friend.groups:
            changeset.change(ch.SetFriend(me.user, user, replace(friend, groups=tuple(groups))))
            changed.append(user)
    if changeset.changes:
        changeset.notify(relation(me.user, wire.RelationContent(push_type=RelationType.FRIEND_CHANGED, changed=changed)))
    return changeset


def profile_changed(me: Person, after: StoredAccount, tags: Iterable[wire.ProfileTag]) -> Changeset:
    """Change a profile, and notify the user's own devices and mutual friends.

    Users with a one-way friendship to this user are not notified, because their number is unlimited. They get the
    version with `profile.portrait_get`.
    """
    content = wire.RelationContent(
        push_type=RelationType.PROFILE, profile=me.user, profile_fields=list(tags), version=after.version
    )
    friends = sorted(me.relationships.friends.keys() & me.relationships.listed_by)
    return Changeset([ch.SetAccount(after)], [relation(user, content) for user in (me.user, *friends)])


def _befriend(
    changeset: Changeset, owner: Person, other: Person, friend: StoredFriend, limit: int, *, mine: bool = True
) -> None:
    if other.user in owner.relationships.friends:
        return
    if len(owner.relationships.friends) >= limit:
        raise LimitReached(f"{owner.user!r} has {limit} friends, which is the limit", code=30010 if mine else 30014)
    changeset.change(ch.SetFriend(owner.user, other.user, friend))
    _add_missing_groups(changeset, owner, friend.groups)
    changeset.notify(relation(owner.user, wire.RelationContent(push_type=RelationType.FRIEND_ADDED, added=[other.user])))


def _remove_applications(changeset: Changeset, me: Person, peer: Person) -> None:
    """Delete the friend requests between the two users."""
    for owner, other in ((me, peer), (peer, me)):
        if other.user in owner.relationships.received_requests:
            _remove_application(changeset, owner.user, other.user)


def _remove_application(changeset: Changeset, owner: str, asker: str) -> None:
    changeset.change(ch.RemoveApplication(owner, asker))
    for user, gone in ((owner, asker), (asker, owner)):
        changeset.notify(relation(user, wire.RelationContent(push_type=RelationType.APPLICATION_DELETED, answered=[gone])))


def _add_missing_groups(changeset: Changeset, owner: Person, names: Iterable[str]) -> None:
    known = owner.relationships.friend_groups
    new = [name for name in names if name not in known]
    if not new:
        return
    if any(not 0 < len(name.encode()) <= 30 for name in new):
        raise InvalidArgument("the name of a friend group must be 1 to 30 bytes long", code=30001)
    if len(known) + len(new) > GROUPS_LIMIT:
        raise LimitReached(f"a user can have at most {GROUPS_LIMIT} friend groups; remove one first", code=30011)
    changeset.change(ch.SetFriendGroups(owner.user, (*known, *new)))
