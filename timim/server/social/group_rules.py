"""Rules of groups: each function decides the changeset of one operation. Pure functions, without await.

Invariant: permissions (group_permissions.py) are checked before anything else. An operation that changes nothing gives an
empty changeset, which takes no seq.
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
    require_not_banned,
    require_over,
    role_of,
)

APPLICATIONS_LIMIT = 1000  # unanswered applications of one group


@dataclass(frozen=True, slots=True)
class Actor:
    """The user who performs an operation. `admin` marks an administrator of the app, who has all permissions."""

    account: StoredAccount
    now: int
    admin: bool = False

    @property
    def user(self) -> str:
        return self.account.user_id


def created(actor: Actor, group: StoredGroup) -> Changeset:
    """Create a group. Its first members get notices instead of a tip, so its timeline begins with their messages."""
    changeset = Changeset([ch.InsertGroup(group)])
    for user in group.members:
        report = GroupNoticeType.CREATED if user == group.owner else GroupNoticeType.INVITED
        changeset.notify(group_notice(user, group, actor.user, report))
    return changeset


def asked(actor: Actor, group: StoredGroup, accounts: Sequence[StoredAccount]) -> Changeset:
    """Ask users who demand it whether they want to be members of a new group. Raises LimitReached."""
    changeset = Changeset()
    _ask(changeset, actor.user, group, accounts, actor.now)
    return changeset


def joined(actor: Actor, group: StoredGroup, wording: str, limit: int, user_field: str = "") -> tuple[Changeset, bool]:
    """Join the group, or apply to its admins.

    Returns:
        The changeset, and True if the user has joined, False if the application must be approved.

    Raises:
        AlreadyMember: The user is a member.
        NoPermission: The group accepts no applications.
        LimitReached: The group is full, or has too many applications.
    """
    changeset = Changeset()
    require_not_banned(group, actor.user, actor.now)
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
    """Add users who are not members yet, or ask the admins to admit them. Users who demand to be asked are asked.

    Returns:
        The changeset, and True if the users who were not asked are members now, False if the invitation must be approved.

    Raises:
        NotAMember: The inviting user is not a member.
        NoPermission: The inviting user may not invite.
        LimitReached: The group is full, or has too many applications.
    """
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
    at_once = [account for account in new if actor.admin or not account.asked_before_groups]
    if at_once:
        _enter(changeset, actor, group, at_once, limit)
        if not silent:
            changeset.notify(*(group_notice(one.user_id, group, actor.user, GroupNoticeType.INVITED) for one in at_once))
    _ask(changeset, actor.user, group, [account for account in new if account not in at_once], actor.now)
    return changeset, True


def answered(
    actor: Actor, group: StoredGroup, applicant: StoredAccount, *, agree: bool, wording: str, limit: int, inviting: bool = False
) -> Changeset:
    """Accept or refuse an application or, if `inviting`, a requested invitation.

    Raises:
        NoPermission: The user may not approve applications.
        NoSuchApplication: The application does not exist, or was answered.
        AlreadyMember: The applicant is a member by now.
        LimitReached: The group is full.
    """
    application = group.applications.get(applicant.user_id)
    answers_itself = inviting and actor.user == applicant.user_id and (application is None or application.consent)
    if not actor.admin and not answers_itself:
        require(group, actor.user, Permission.APPROVE)
        if application is not None and application.consent:
            raise NoPermission(f"{applicant.user_id!r} demands to be asked before being added; only this user can answer")
    if application is None or bool(application.inviter) != inviting:
        if applicant.user_id in group.members:
            raise AlreadyMember(f"{applicant.user_id!r} is already a member of group {group.group_id!r}")
        text = f"group {group.group_id!r} has no application of {applicant.user_id!r}; it may have been answered"
        raise NoSuchApplication(text, code=10032)
    changeset = Changeset([ch.RemoveGroupApplication(group.group_id, applicant.user_id)])
    if agree and inviting and applicant.asked_before_groups and not (answers_itself or actor.admin):
        _ask(changeset, application.inviter, group, [applicant], actor.now)
        return changeset
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
    """Remove members. Users who are not members are ignored. Raises NotAMember, NoPermission."""
    if not actor.admin:
        require(group, actor.user, Permission.KICK)
    gone = [user for user in dict.fromkeys(users) if user in group.members]
    for user in gone:
        if not actor.admin:
            require_over(group, actor.user, Permission.KICK, user)
        elif user == group.owner:
            raise NoPermission(f"{user!r} owns the group; transfer the ownership first")
    changeset = Changeset()
    if gone:
        changeset.change(*removal(group, gone))
        left_over = len(group.members) - len(gone)
        changeset.notify(
            tip(group, actor.account, wire.GroupTipContent(op_type=GroupTipType.KICK, users=gone, reason=reason), left_over)
        )
        if not silent:
            changeset.notify(*(group_notice(user, group, actor.user, GroupNoticeType.KICKED, remark=reason) for user in gone))
    return changeset


def left(actor: Actor, group: StoredGroup) -> Changeset:
    """Remove the member who quits.

    If the owner of a Work group quits, the member who joined first becomes the owner. The last member dissolves the group.
    """
    require(group, actor.user, Permission.QUIT)
    left_over = len(group.members) - 1
    if not left_over:
        return Changeset(
            [ch.DissolveGroup(group.group_id, (actor.user,))],
            [group_notice(actor.user, group, actor.user, GroupNoticeType.DISSOLVED)],
        )
    changeset = Changeset(removal(group, [actor.user]))
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


def removal(group: StoredGroup, users: Sequence[str]) -> list[ch.Change]:
    """Return the changes that remove members with their marks."""
    changes: list[ch.Change] = [ch.RemoveMembers(group.group_id, tuple(users))]
    if not group.marks.keys().isdisjoint(users):
        kept = {user: marks for user, marks in group.marks.items() if user not in users}
        changes.insert(0, ch.SetGroup(replace(group, marks=kept)))
    return changes


def dissolved(actor: Actor, group: StoredGroup) -> Changeset:
    """Dissolve the group and notify all its members."""
    if not actor.admin:
        require(group, actor.user, Permission.DISSOLVE)
    users = tuple(group.members)
    notices = [group_notice(user, group, actor.user, GroupNoticeType.DISSOLVED) for user in users]
    return Changeset([ch.DissolveGroup(group.group_id, users)], notices)


def passed_on(actor: Actor, group: StoredGroup, user: str) -> Changeset:
    """Transfer the ownership to another member. Raises NotAMember, NoPermission."""
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
    """Change the group to `after`.

    Args:
        actor: The user who changes the group.
        group: The group before the change.
        after: The group after the change.
        news: The description of the change for the tip.
        acts: Permissions that are required, also if nothing changes.

    Raises:
        NoPermission: A permission is missing.
        InvalidArgument: The new member limit is below the number of members.
    """
    for act in acts if not actor.admin else ():
        require(group, actor.user, act)
    if 0 < after.max_members < len(group.members):
        text = f"MaxMemberNum is {after.max_members}, but the group has {len(group.members)} members"
        raise InvalidArgument(text, code=10004)
    if after == group:
        return Changeset()
    content = wire.GroupTipContent(op_type=GroupTipType.GROUP_INFO, group=news)
    return Changeset([ch.SetGroup(after)], [tip(after, actor.account, content, len(group.members))])


@dataclass(frozen=True, slots=True)
class MemberChange:
    """New values of a member; None leaves a value unchanged. The member is muted for `mute_s` from now; 0 unmutes."""

    role: str | None = None
    name_card: str | None = None
    mute_s: int | None = None
    custom: Mapping[str, str] | None = None


def member_edited(actor: Actor, group: StoredGroup, user: str, change: MemberChange) -> Changeset:
    """Change a member's role, name card, mute or custom fields. Raises NotAMember, NoPermission, InvalidArgument."""
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
            text = "Role must be Admin or Member; transfer the ownership with change_group_owner"
            raise InvalidArgument(text, code=10004)
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
    """Add accounts that are not members. The tip is the first entry that they see. Raises LimitReached."""
    limit = min(limit, group.max_members or limit)
    if len(group.members) + len(accounts) > limit:
        raise LimitReached(f"group {group.group_id!r} is full: {len(group.members)} members; the limit is {limit}", code=10014)
    from_now = KINDS[group.type] not in HISTORY_FROM_BEFORE
    members = {account.user_id: Member(MEMBER, joined=actor.now) for account in accounts}
    changeset.change(ch.InsertMembers(group.group_id, members, from_now))
    applicants = [user for user in members if user in group.applications]
    changeset.change(*(ch.RemoveGroupApplication(group.group_id, user) for user in applicants))
    facts = [wire.TipMember(account=a.user_id, nick=a.nickname, face_url=a.face_url) for a in accounts]
    content = wire.GroupTipContent(op_type=GroupTipType.JOIN, users=list(members), member_info=facts)
    changeset.notify(tip(group, actor.account, content, len(group.members) + len(members)))


def _ask(changeset: Changeset, inviter: str, group: StoredGroup, accounts: Sequence[StoredAccount], now: int) -> None:
    """Ask users who demand it whether they want to be members. Raises LimitReached."""
    _check_applications_limit(group, [account.user_id for account in accounts])
    for account in accounts:
        application = GroupApplication(inviter, "", now, consent=True)
        changeset.change(ch.SetGroupApplication(group.group_id, account.user_id, application))
        about = [account.user_id]
        asked = group_notice(account.user_id, group, inviter, GroupNoticeType.INVITE_REQUESTED, users=about, msg_key=now)
        changeset.notify(asked)


def _check_applications_limit(group: StoredGroup, users: Iterable[str]) -> None:
    if len(group.applications.keys() | set(users)) > APPLICATIONS_LIMIT:
        text = f"group {group.group_id!r} has {APPLICATIONS_LIMIT} unanswered applications, its limit; answer some first"
        raise LimitReached(text, code=10014)


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
    """Return `known` updated with `changed`, without empty values. Raises InvalidArgument if there are more than `limit`."""
    after = {key: value for key, value in {**known, **changed}.items() if value}
    if len(after) > limit:
        raise InvalidArgument(f"{len(after)} {what} are too many; the limit is {limit}", code=10004)
    return after
