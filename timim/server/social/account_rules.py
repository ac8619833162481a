"""Rules of the deletion of accounts: changesets that end a user's groups and relationships. Pure functions, without await."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...elem_base import GroupTipType, RelationType
from ...protocol import notices as wire
from ..store import mutations as ch
from ..store.base import Relationships, StoredAccount, StoredGroup
from .changesets import Changeset, relation, tip

__all__ = ["gone_from_group", "peers_of", "removed"]


def gone_from_group(account: StoredAccount, group: StoredGroup) -> Changeset:
    """Remove a user from a group, which has no owner after it if it was this user's. The last member dissolves the group."""
    user = account.user_id
    if user not in group.members:
        return Changeset()
    left = len(group.members) - 1
    if not left:
        return Changeset([ch.DissolveGroup(group.group_id, (user,))])
    changeset = Changeset([ch.RemoveMembers(group.group_id, (user,))])
    if group.owner == user:
        changeset.change(ch.SetGroup(replace(group, owner="")))
    changeset.notify(tip(group, account, wire.GroupTipContent(op_type=GroupTipType.QUIT, users=[user]), left))
    return changeset


def peers_of(known: Relationships, blockers: Iterable[str]) -> set[str]:
    """Return the users whose relationships name a user with these relationships, who is on the blacklists of `blockers`."""
    own = (known.friends, known.listed_by, known.received_requests, known.sent_requests, known.blocked)
    return {peer for some in own for peer in some} | set(blockers)


def removed(account: StoredAccount, known: Relationships, peers: Mapping[str, Relationships]) -> Changeset:
    """Delete an account and its relationships in both directions, and notify the peers.

    Args:
        account: The account.
        known: Its relationships.
        peers: The relationships of the users whom `peers_of` names.
    """
    user, changeset = account.user_id, Changeset()
    for peer, theirs in peers.items():
        if peer in known.friends:
            changeset.change(ch.RemoveFriend(user, peer))
        if peer in known.blocked:
            changeset.change(ch.RemoveBlocked(user, peer))
        if user in theirs.friends:
            changeset.change(ch.RemoveFriend(peer, user))
            gone = wire.RelationContent(push_type=RelationType.FRIEND_DELETED, deleted=[user])
            changeset.notify(relation(peer, gone))
        if user in theirs.blocked:
            changeset.change(ch.RemoveBlocked(peer, user))
            free = wire.RelationContent(push_type=RelationType.BLACKLIST_DELETED, unblocked=[user])
            changeset.notify(relation(peer, free))
        asks = peer in known.received_requests, user in theirs.received_requests
        for owner, asker, there in ((user, peer, asks[0]), (peer, user, asks[1])):
            if there:
                changeset.change(ch.RemoveApplication(owner, asker))
        if any(asks):
            answered = wire.RelationContent(push_type=RelationType.APPLICATION_DELETED, answered=[user])
            changeset.notify(relation(peer, answered))
    if known.friend_groups:
        changeset.change(ch.SetFriendGroups(user, ()))
    changeset.change(ch.DeleteAccount(account))
    return changeset
