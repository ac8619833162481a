"""Rules of groups: each function decides the changeset of one operation. Pure, nothing awaited.

Invariant: group_permissions.py is asked before anything else is decided. An operation that changes nothing is an empty
changeset: it takes no seq.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...elem_base import GroupNoticeType, GroupTipType
from ...errors import AlreadyMember, InvalidArgument, LimitReached, NoPermission, NoSuchApplication, NotAMember
from ...protocol import notices as wire
from ..store import mutations as ch
from ..store.base import Member, StoredAccount, StoredGroup
from ..store.entities import GroupApplication
from .changesets import Changeset, group_notice, tip
from .group_permissions import (
    ADMIN,
    FREE,
    HISTORY_FROM_BEFORE,
    KINDS,
    MEMBER,
    OWNER,
    Permission,
    is_allowed,
    require,
    require_joinable,
    require_over,
    role_of,
)

APPLICATIONS_LIMIT = 1000  # which wait for one group's admins


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `admin`: an administrator of the app, who may all."""

    account: StoredAccount
    now: int
    admin: bool = False

    @property
    def user(self) -> str:
        return self.account.user_id


def created(actor: Actor, group: StoredGroup) -> Changeset:
    """Its first members hear of it by notices: its timeline begins with what they say."""
    changeset = Changeset([ch.InsertGroup(group)])
    for user in group.members:
        report = GroupNoticeType.CREATED if user == group.owner else GroupNoticeType.INVITED
        changeset.notify(group_notice(user, group, actor.user, report))
    return changeset


def joined(actor: Actor, group: StoredGroup, wording: str, limit: int, user_field: str = "") -> tuple[Changeset, bool]:
    """Somebody joins, or asks to: the changeset, and whether they are in. Raises AlreadyMember, NoPermission, LimitReached."""
    changeset = Changeset()
    if require_joinable(group, actor.user) == FREE:
        _enter(changeset, actor, group, [actor.account], limit)
        return changeset, True
    _check_applications_limit(group, [actor.user])
    changeset.change(ch.SetGroupApplication(group.group_id, actor.user, GroupApplication("", wording, actor.now)))
    for user in _approvers(group):
        asked = group_notice(
            user, group, actor.user, GroupNoticeType.APPLIED, remark=wording, msg_key=actor.now, user_field=user_field
        )
        changeset.notify(asked)
    return changeset, False


def invited(
    actor: Actor, group: StoredGroup, accounts: Sequence[StoredAccount], limit: int, *, silent: bool
) -> tuple[Changeset, bool]:
    """Who is not in yet comes in, or waits for the admins (False). Raises NotAMember, NoPermission, LimitReached."""
    new = [account for account in accounts if account.user_id not in group.members]
    changeset = Changeset()
    if not actor.admin and _must_ask_to_invite(group, actor.user):
        _check_applications_limit(group, [account.user_id for account in new])
        for account in new:
            application = GroupApplication(actor.user, "", actor.now)
            changeset.change(ch.SetGroupApplication(group.group_id, account.user_id, application))
            for user in _approvers(group):
                about = [account.user_id]
                changeset.notify(
                    group_notice(user, group, actor.user, GroupNoticeType.INVITE_REQUESTED, users=about, msg_key=actor.now)
                )
        return changeset, False
    if not actor.admin:
        require(group, actor.user, Permission.INVITE)
    if new:
        _enter(changeset, actor, group, new, limit)
        if not silent:
            changeset.notify(*(group_notice(account.user_id, group, actor.user, GroupNoticeType.INVITED) for account in new))
    return changeset, True


def answered(
    actor: Actor, group: StoredGroup, applicant: StoredAccount, *, agree: bool, wording: str, limit: int, inviting: bool = False
) -> Changeset:
    """Agree to an application or a requested invitation, or refuse it. Raises NoSuchApplication and what joining raises."""
    if not actor.admin:
        require(group, actor.user, Permission.APPROVE)
    application = group.applications.get(applicant.user_id)
    if application is None or bool(application.inviter) != inviting:
        if applicant.user_id in group.members:
            raise AlreadyMember(f"{applicant.user_id!r} is in group {group.group_id!r} already")
        raise NoSuchApplication(f"{applicant.user_id!r} did not ask to join group {group.group_id!r}", code=10032)
    changeset = Changeset([ch.RemoveGroupApplication(group.group_id, applicant.user_id)])
    if agree and applicant.user_id not in group.members:
        _enter(changeset, actor, group, [applicant], limit)
    if inviting:
        report = GroupNoticeType.INVITE_ACCEPTED if agree else GroupNoticeType.INVITE_REFUSED
        changeset.notify(
            group_notice(application.inviter, group, actor.user, report, remark=wording, users=[applicant.user_id])
        )
        if agree:
            changeset.notify(group_notice(applicant.user_id, group, application.inviter, GroupNoticeType.INVITED))
    else:
        changeset.notify(
            group_notice(
                applicant.user_id,
                group,
                actor.user,
                GroupNoticeType.ACCEPTED if agree else GroupNoticeType.REFUSED,
                remark=wording,
            )
        )
    return changeset


def kicked(actor: Actor, group: StoredGroup, users: Iterable[str], reason: str, *, silent: bool) -> Changeset:
    """Members are put out; who is none is passed over. Raises NotAMember, NoPermission."""
    if not actor.admin:
        require(group, actor.user, Permission.KICK)
    gone = [user for user in dict.fromkeys(users) if user in group.members]
    for user in gone:
        if not actor.admin:
            require_over(group, actor.user, Permission.KICK, user)
        elif user == group.owner:
            raise NoPermission(f"{user!r} owns the group: pass it on first")
    changeset = Changeset()
    if gone:
        changeset.change(ch.RemoveMembers(group.group_id, tuple(gone)))
        left_over = len(group.members) - len(gone)
        changeset.notify(
            tip(group, actor.account, wire.GroupTipContent(op_type=GroupTipType.KICK, users=gone, reason=reason), left_over)
        )
        if not silent:
            changeset.notify(*(group_notice(user, group, actor.user, GroupNoticeType.KICKED, remark=reason) for user in gone))
    return changeset


def left(actor: Actor, group: StoredGroup) -> Changeset:
    """Let a member leave. The owner of a Work group hands it to its oldest member; the last one ends it."""
    require(group, actor.user, Permission.QUIT)
    left_over = len(group.members) - 1
    if not left_over:
        return Changeset(
            [ch.DissolveGroup(group.group_id, (actor.user,))],
            [group_notice(actor.user, group, actor.user, GroupNoticeType.DISSOLVED)],
        )
    changeset = Changeset([ch.RemoveMembers(group.group_id, (actor.user,))])
    changeset.notify(tip(group, actor.account, wire.GroupTipContent(op_type=GroupTipType.QUIT, users=[actor.user]), left_over))
    changeset.notify(group_notice(actor.user, group, actor.user, GroupNoticeType.QUIT))
    if group.owner == actor.user:
        heir = next(user for user in group.members if user != actor.user)
        changeset.change(
            ch.SetGroup(replace(group, owner=heir)),
            ch.SetMember(group.group_id, heir, replace(group.members[heir], role=OWNER)),
        )
        changeset.notify(
            tip(
                group,
                actor.account,
                wire.GroupTipContent(op_type=GroupTipType.GROUP_INFO, group=wire.GroupInfoChange(owner=heir)),
                left_over,
            )
        )
    return changeset


def dissolved(actor: Actor, group: StoredGroup) -> Changeset:
    """Dissolve the group; all its members are notified."""
    if not actor.admin:
        require(group, actor.user, Permission.DISSOLVE)
    users = tuple(group.members)
    notices = [group_notice(user, group, actor.user, GroupNoticeType.DISSOLVED) for user in users]
    return Changeset([ch.DissolveGroup(group.group_id, users)], notices)


def passed_on(actor: Actor, group: StoredGroup, user: str) -> Changeset:
    """Another member owns the group."""
    if not actor.admin:
        require(group, actor.user, Permission.TRANSFER)
    _member(group, user)
    if user == group.owner:
        return Changeset()
    changeset = Changeset([ch.SetGroup(replace(group, owner=user))])
    if group.owner in group.members:
        former = replace(group.members[group.owner], role=MEMBER)
        changeset.change(ch.SetMember(group.group_id, group.owner, former))
    changeset.change(ch.SetMember(group.group_id, user, replace(group.members[user], role=OWNER)))
    news = wire.GroupTipContent(op_type=GroupTipType.GROUP_INFO, users=[user], group=wire.GroupInfoChange(owner=user))
    changeset.notify(tip(group, actor.account, news, len(group.members)))
    return changeset


def edited(
    actor: Actor, group: StoredGroup, after: StoredGroup, news: wire.GroupInfoChange, acts: Iterable[Permission]
) -> Changeset:
    """Change the group to `after`; `news` describes the change, `acts` are required also when nothing changes."""
    for act in acts if not actor.admin else ():
        require(group, actor.user, act)
    if 0 < after.max_members < len(group.members):
        text = f"MaxMemberNum {after.max_members} is less than the {len(group.members)} members there are"
        raise InvalidArgument(text, code=10004)
    if after == group:
        return Changeset()
    content = wire.GroupTipContent(op_type=GroupTipType.GROUP_INFO, group=news)
    return Changeset([ch.SetGroup(after)], [tip(after, actor.account, content, len(group.members))])


@dataclass(frozen=True, slots=True)
class MemberChange:
    """What is to change of a member; None: stays. `mute_s` counts from now, 0 ends a mute."""

    role: str | None = None
    name_card: str | None = None
    mute_s: int | None = None
    custom: Mapping[str, str] | None = None


def member_edited(actor: Actor, group: StoredGroup, user: str, change: MemberChange) -> Changeset:
    """Change a member's role, card, mute or custom fields."""
    if not actor.admin:
        require(group, actor.user, Permission.READ)
    member = after = _member(group, user)
    if not actor.admin:
        _require_member_edit(actor.user, group, user, change)
    changeset = Changeset()
    news = wire.MemberInfoChange(account=user)
    tips: list[wire.GroupTipContent] = []
    if change.role is not None and change.role != member.role:
        if change.role not in (ADMIN, MEMBER) or member.role == OWNER:
            raise InvalidArgument("Role must be Admin or Member; ownership is passed on with change_group_owner", code=10004)
        if not is_allowed(OWNER, group.type, Permission.SET_ADMIN):
            raise NoPermission(f"a {group.type} group has no admins")
        after = replace(after, role=change.role)
        tips.append(
            wire.GroupTipContent(
                op_type=GroupTipType.ADMIN_SET if change.role == ADMIN else GroupTipType.ADMIN_CANCELLED, users=[user]
            )
        )
    if change.name_card is not None and change.name_card != member.name_card:
        after, news.name_card = replace(after, name_card=change.name_card), change.name_card
    if change.mute_s is not None and (change.mute_s or member.muted_until):
        after = replace(after, muted_until=actor.now + change.mute_s if change.mute_s else 0)
        news.muted_s = change.mute_s
    if change.custom is not None and dict(change.custom) != member.custom:
        after, news.custom = replace(after, custom=dict(change.custom)), dict(change.custom)
    if after == member:
        return changeset
    changeset.change(ch.SetMember(group.group_id, user, after))
    if news != wire.MemberInfoChange(account=user):
        tips.append(wire.GroupTipContent(op_type=GroupTipType.MEMBER_INFO, users=[user], members=[news]))
    for one in tips:
        changeset.notify(tip(group, actor.account, one, len(group.members)))
    if after.role != member.role:
        changeset.notify(
            group_notice(
                user, group, actor.user, GroupNoticeType.ADMIN_SET if after.role == ADMIN else GroupNoticeType.ADMIN_CANCELLED
            )
        )
    return changeset


def _require_member_edit(actor: str, group: StoredGroup, user: str, change: MemberChange) -> None:
    if change.role is not None:
        require(group, actor, Permission.SET_ADMIN)
    if change.mute_s is not None:
        require_over(group, actor, Permission.MUTE, user)
    if (change.name_card is not None or change.custom is not None) and user != actor:
        require_over(group, actor, Permission.CARD, user)


def _enter(changeset: Changeset, actor: Actor, group: StoredGroup, accounts: Sequence[StoredAccount], limit: int) -> None:
    """Accounts that are no members come in; the tip is the first entry that they see."""
    limit = min(limit, group.max_members or limit)
    if len(group.members) + len(accounts) > limit:
        raise LimitReached(f"group {group.group_id!r} is full: {len(group.members)} members, the limit is {limit}", code=10014)
    from_now = KINDS[group.type] not in HISTORY_FROM_BEFORE
    members = {account.user_id: Member(MEMBER, joined=actor.now) for account in accounts}
    changeset.change(ch.InsertMembers(group.group_id, members, from_now))
    applicants = [user for user in members if user in group.applications]
    changeset.change(*(ch.RemoveGroupApplication(group.group_id, user) for user in applicants))
    facts = [wire.TipMember(account=a.user_id, nick=a.nickname, face_url=a.face_url) for a in accounts]
    content = wire.GroupTipContent(op_type=GroupTipType.JOIN, users=list(members), member_info=facts)
    changeset.notify(tip(group, actor.account, content, len(group.members) + len(members)))


def _check_applications_limit(group: StoredGroup, users: Iterable[str]) -> None:
    if len(group.applications.keys() | set(users)) > APPLICATIONS_LIMIT:
        raise LimitReached(f"{APPLICATIONS_LIMIT} wait for group {group.group_id!r} to let them in already", code=10014)


def _approvers(group: StoredGroup) -> list[str]:
    return [user for user, member in group.members.items() if is_allowed(member.role, group.type, Permission.APPROVE)]


def _must_ask_to_invite(group: StoredGroup, user: str) -> bool:
    role = role_of(group, user)
    return user in group.members and is_allowed(role, group.type, Permission.ASK_IN)


def _member(group: StoredGroup, user: str) -> Member:
    member = group.members.get(user)
    if member is None:
        raise NotAMember(f"{user!r} is not in group {group.group_id!r}")
    return member


def merged(known: Mapping[str, str], changed: Mapping[str, str], limit: int, what: str) -> dict[str, str]:
    """Fields with some of them set, an empty one removed. Raises InvalidArgument past `limit` keys."""
    after = {key: value for key, value in {**known, **changed}.items() if value}
    if len(after) > limit:
        raise InvalidArgument(f"at most {limit} {what}, not {len(after)}", code=10004)
    return after
