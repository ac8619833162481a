"""The entities that a changeset modifies, and the invalidation of them that other nodes get."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..bus.base import Invalidation
from ..store import mutations as ch
from ..store.base import Change, group_timeline


def changed_entities(changes: Iterable[Change]) -> Invalidation:
    """Return the ids of the existing entities that these changes modify, each once."""
    accounts: dict[str, None] = {}
    groups: dict[str, None] = {}
    relationships: dict[str, None] = {}
    for change in changes:
        match change:
            case ch.SetAccount(account) | ch.DeleteAccount(account):
                accounts[account.user_id] = None
            case ch.InsertGroup():
                pass
            case ch.SetGroup(group):
                groups[group.group_id] = None
            case (
                ch.DissolveGroup(group_id)
                | ch.InsertMembers(group_id)
                | ch.SetMember(group_id)
                | ch.RemoveMembers(group_id)
                | ch.SetGroupApplication(group_id)
                | ch.RemoveGroupApplication(group_id)
                | ch.InsertTopic(group_id)
                | ch.SetTopic(group_id)
                | ch.RemoveTopics(group_id)
            ):
                groups[group_id] = None
            case ch.SetFriendGroups(owner, _):
                relationships[owner] = None
            case _:
                relationships[change.owner] = relationships[change.peer] = None
    return Invalidation(accounts=list(accounts), groups=list(groups), relationships=list(relationships))


def invalidation_of(changes: Sequence[Change], seqs: dict[str, int]) -> Invalidation:
    """Build the invalidation that other nodes get for stored changes."""
    facts = changed_entities(changes)
    facts.joined, facts.left = {}, {}
    for change in changes:
        match change:
            case ch.InsertGroup(group):
                facts.joined[group.group_id] = {user: member.floor for user, member in group.members.items()}
            case ch.InsertMembers(group_id, members, from_now):
                first = seqs.get(group_timeline(group_id), 1)
                floors = {user: first if from_now else member.floor for user, member in members.items()}
                facts.joined.setdefault(group_id, {}).update(floors)
            case ch.RemoveMembers(group_id, users) | ch.DissolveGroup(group_id, users):
                facts.left.setdefault(group_id, []).extend(users)
            case _:
                pass
    return facts
