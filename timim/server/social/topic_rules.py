"""Rules of the topics of Communities: each function decides the changeset of one operation. Pure functions, without await.

Permissions are those of the Community (group_permissions.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...elem_base import GroupTipType
from ...errors import GroupExists, InvalidArgument, LimitReached, NotAMember
from ...protocol import notices as wire
from ..store import mutations as ch
from ..store.base import StoredGroup, StoredTopic
from .changesets import Changeset, tip
from .group_permissions import Permission, require, require_over
from .group_rules import Actor

TOPICS_LIMIT = 200  # of a Community


def created(actor: Actor, group: StoredGroup, topic: StoredTopic) -> Changeset:
    """Create a topic.

    Raises:
        NotAMember, NoPermission: The user is not in the group, or may not create topics.
        InvalidArgument: The group has no topics (10004).
        GroupExists: There is such a topic (10021).
        LimitReached: The group has too many topics (10014).
    """
    if not actor.admin:
        require(group, actor.user, Permission.TOPICS)
    if not group.has_topics:
        text = f"group {group.group_id!r} has no topics; create a Community with SupportTopic 1"
        raise InvalidArgument(text, code=10004)
    if topic.topic_id in group.topics:
        raise GroupExists(f"the topic id {topic.topic_id!r} is taken; choose another id")
    if len(group.topics) >= TOPICS_LIMIT:
        raise LimitReached(f"group {group.group_id!r} has {TOPICS_LIMIT} topics, its limit; delete one", code=10014)
    return Changeset([ch.InsertTopic(group.group_id, topic)])


def edited(
    actor: Actor, group: StoredGroup, after: StoredTopic, news: wire.TopicInfoChange, acts: Iterable[Permission]
) -> Changeset:
    """Change a topic to `after`. Its members get a tip in the topic.

    Args:
        actor: The user who changes the topic.
        group: The Community.
        after: The topic after the change.
        news: The description of the change for the tip.
        acts: Permissions that are required, also if nothing changes.

    Raises:
        NotAMember, NoPermission: The user is not in the group, or a permission is missing.
    """
    for act in acts if not actor.admin else ():
        require(group, actor.user, act)
    if after == group.topics[after.topic_id]:
        return Changeset()
    content = wire.GroupTipContent(op_type=GroupTipType.TOPIC_INFO, topic=news)
    notice = tip(group.in_topic(after), actor.account, content, len(group.members))
    return Changeset([ch.SetTopic(group.group_id, after)], [notice])


def deleted(actor: Actor, group: StoredGroup, topic_ids: Iterable[str]) -> Changeset:
    """Delete topics that exist. Raises NotAMember, NoPermission."""
    if not actor.admin:
        require(group, actor.user, Permission.TOPICS)
    gone = tuple(topic_ids)
    return Changeset([ch.RemoveTopics(group.group_id, gone)] if gone else [])


def member_muted(actor: Actor, in_topic: StoredGroup, user: str, mute_s: int) -> Changeset:
    """Mute a member in a topic for some seconds from now; 0 unmutes the member there. Raises NotAMember, NoPermission."""
    topic = in_topic.topic
    assert topic is not None
    if not actor.admin:
        require_over(in_topic, actor.user, Permission.MUTE, user)
    if user not in in_topic.members:
        raise NotAMember(f"{user!r} is not in group {in_topic.community_id!r}")
    muted = {one: until for one, until in topic.muted.items() if until > actor.now and one != user}
    if mute_s:
        muted[user] = actor.now + mute_s
    if muted == topic.muted:
        return Changeset()
    news = wire.MemberInfoChange(account=user, muted_s=mute_s)
    content = wire.GroupTipContent(op_type=GroupTipType.MEMBER_INFO, users=[user], members=[news])
    notice = tip(in_topic, actor.account, content, len(in_topic.members))
    return Changeset([ch.SetTopic(in_topic.community_id, replace(topic, muted=muted))], [notice])
