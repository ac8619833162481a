"""What becomes of a group when somebody does something: from the facts and a wish to a plan. Pure, nothing awaited.

Invariant: who may is asked of permissions.py before anything else is decided. A change that changes nothing is an empty
plan: it takes no seq.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...errors import AlreadyMember, InvalidArgument, LimitReached, NoPermission, NoSuchApplication, NotAMember
from ...protocol import notices as wire
from ..store import mutations as ch
from ..store.base import Account, Group, Member
from ..store.entities import GroupApplication
from .changesets import Plan, group_notice, tip
from .group_permissions import (
    ADMIN,
    FREE,
    HISTORY_FROM_BEFORE,
    KINDS,
    MEMBER,
    OWNER,
    Act,
    demand,
    demand_joinable,
    demand_over,
    may,
    role_of,
)

JOIN, QUIT, KICK, ADMIN_SET, ADMIN_OFF, GROUP_INFO, MEMBER_INFO = range(1, 8)  # OpType
ASKED, ACCEPTED, REFUSED, KICKED, DISSOLVED, CREATED, INVITED, HAS_QUIT, MADE_ADMIN, NO_ADMIN = range(1, 11)  # ReportType
APPLICATIONS_LIMIT = 1000  # which wait for one group's admins
INVITE_ASKED, INVITE_ACCEPTED, INVITE_REFUSED = 12, 13, 14


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `admin`: an administrator of the app, who may all."""

    account: Account
    now: int
    admin: bool = False

    @property
    def user(self) -> str:
        return self.account.user_id


def created(actor: Actor, group: Group) -> Plan:
    """Its first members hear of it by notices: its timeline begins with what they say."""
    plan = Plan([ch.CreateGroup(group)])
    for user in group.members:
        report = CREATED if user == group.owner else INVITED
        plan.tell(group_notice(user, group, actor.user, report))
    return plan


def joined(actor: Actor, group: Group, wording: str, limit: int, user_field: str = "") -> tuple[Plan, bool]:
    """Somebody joins, or asks to: the plan, and whether they are in. Raises AlreadyMember, NoPermission, LimitReached."""
    plan = Plan()
    if demand_joinable(group, actor.user) == FREE:
        _enter(plan, actor, group, [actor.account], limit)
        return plan, True
    _room_for_wishes(group, [actor.user])
    plan.change(ch.SetGroupApplication(group.group_id, actor.user, GroupApplication("", wording, actor.now)))
    for user in _approvers(group):
        asked = group_notice(user, group, actor.user, ASKED, remark=wording, msg_key=actor.now, user_field=user_field)
        plan.tell(asked)
    return plan, False


def invited(actor: Actor, group: Group, accounts: Sequence[Account], limit: int, *, silent: bool) -> tuple[Plan, bool]:
    """Who is not in yet comes in, or waits for the admins (False). Raises NotAMember, NoPermission, LimitReached."""
    new = [account for account in accounts if account.user_id not in group.members]
    plan = Plan()
    if not actor.admin and _asks_in(group, actor.user):
        _room_for_wishes(group, [account.user_id for account in new])
        for account in new:
            wish = GroupApplication(actor.user, "", actor.now)
            plan.change(ch.SetGroupApplication(group.group_id, account.user_id, wish))
            for user in _approvers(group):
                about = [account.user_id]
                plan.tell(group_notice(user, group, actor.user, INVITE_ASKED, users=about, msg_key=actor.now))
        return plan, False
    if not actor.admin:
        demand(group, actor.user, Act.INVITE)
    if new:
        _enter(plan, actor, group, new, limit)
        if not silent:
            plan.tell(*(group_notice(account.user_id, group, actor.user, INVITED) for account in new))
    return plan, True


def answered(
    actor: Actor, group: Group, applicant: Account, *, agree: bool, wording: str, limit: int, inviting: bool = False
) -> Plan:
    """An application, or a wish to invite, is agreed to or refused. Raises NoSuchApplication and what joining raises."""
    if not actor.admin:
        demand(group, actor.user, Act.APPROVE)
    wish = group.applications.get(applicant.user_id)
    if wish is None or bool(wish.inviter) != inviting:
        if applicant.user_id in group.members:
            raise AlreadyMember(f"{applicant.user_id!r} is in group {group.group_id!r} already")
        raise NoSuchApplication(f"{applicant.user_id!r} did not ask to join group {group.group_id!r}", code=10032)
    plan = Plan([ch.RemoveGroupApplication(group.group_id, applicant.user_id)])
    if agree and applicant.user_id not in group.members:
        _enter(plan, actor, group, [applicant], limit)
    if inviting:
        report = INVITE_ACCEPTED if agree else INVITE_REFUSED
        plan.tell(group_notice(wish.inviter, group, actor.user, report, remark=wording, users=[applicant.user_id]))
        if agree:
            plan.tell(group_notice(applicant.user_id, group, wish.inviter, INVITED))
    else:
        plan.tell(group_notice(applicant.user_id, group, actor.user, ACCEPTED if agree else REFUSED, remark=wording))
    return plan


def kicked(actor: Actor, group: Group, users: Iterable[str], reason: str, *, silent: bool) -> Plan:
    """Members are put out; who is none is passed over. Raises NotAMember, NoPermission."""
    if not actor.admin:
        demand(group, actor.user, Act.KICK)
    gone = [user for user in dict.fromkeys(users) if user in group.members]
    for user in gone:
        if not actor.admin:
            demand_over(group, actor.user, Act.KICK, user)
        elif user == group.owner:
            raise NoPermission(f"{user!r} owns the group: pass it on first")
    plan = Plan()
    if gone:
        plan.change(ch.RemoveMembers(group.group_id, tuple(gone)))
        left_over = len(group.members) - len(gone)
        plan.tell(tip(group, actor.account, wire.GroupTipContent(op_type=KICK, users=gone, reason=reason), left_over))
        if not silent:
            plan.tell(*(group_notice(user, group, actor.user, KICKED, remark=reason) for user in gone))
    return plan


def left(actor: Actor, group: Group) -> Plan:
    """A member leaves. The owner of a Work group hands it to its oldest member; the last one ends it."""
    demand(group, actor.user, Act.QUIT)
    left_over = len(group.members) - 1
    if not left_over:
        return Plan([ch.DissolveGroup(group.group_id, (actor.user,))], [group_notice(actor.user, group, actor.user, DISSOLVED)])
    plan = Plan([ch.RemoveMembers(group.group_id, (actor.user,))])
    plan.tell(tip(group, actor.account, wire.GroupTipContent(op_type=QUIT, users=[actor.user]), left_over))
    plan.tell(group_notice(actor.user, group, actor.user, HAS_QUIT))
    if group.owner == actor.user:
        heir = next(user for user in group.members if user != actor.user)
        plan.change(
            ch.SetGroup(replace(group, owner=heir)),
            ch.SetMember(group.group_id, heir, replace(group.members[heir], role=OWNER)),
        )
        plan.tell(
            tip(
                group,
                actor.account,
                wire.GroupTipContent(op_type=GROUP_INFO, group=wire.GroupInfoChange(owner=heir)),
                left_over,
            )
        )
    return plan


def dissolved(actor: Actor, group: Group) -> Plan:
    """The group ends; everybody who was in it hears so."""
    if not actor.admin:
        demand(group, actor.user, Act.DISSOLVE)
    users = tuple(group.members)
    notices = [group_notice(user, group, actor.user, DISSOLVED) for user in users]
    return Plan([ch.DissolveGroup(group.group_id, users)], notices)


def passed_on(actor: Actor, group: Group, user: str) -> Plan:
    """Another member owns the group."""
    if not actor.admin:
        demand(group, actor.user, Act.TRANSFER)
    _member(group, user)
    if user == group.owner:
        return Plan()
    plan = Plan([ch.SetGroup(replace(group, owner=user))])
    if group.owner in group.members:
        former = replace(group.members[group.owner], role=MEMBER)
        plan.change(ch.SetMember(group.group_id, group.owner, former))
    plan.change(ch.SetMember(group.group_id, user, replace(group.members[user], role=OWNER)))
    news = wire.GroupTipContent(op_type=GROUP_INFO, users=[user], group=wire.GroupInfoChange(owner=user))
    plan.tell(tip(group, actor.account, news, len(group.members)))
    return plan


def edited(actor: Actor, group: Group, after: Group, news: wire.GroupInfoChange, acts: Iterable[Act]) -> Plan:
    """The group becomes `after`; `news` is how that is told, `acts` what was asked for, also when nothing changes."""
    for act in acts if not actor.admin else ():
        demand(group, actor.user, act)
    if 0 < after.max_members < len(group.members):
        text = f"MaxMemberNum {after.max_members} is less than the {len(group.members)} members there are"
        raise InvalidArgument(text, code=10004)
    if after == group:
        return Plan()
    content = wire.GroupTipContent(op_type=GROUP_INFO, group=news)
    return Plan([ch.SetGroup(after)], [tip(after, actor.account, content, len(group.members))])


@dataclass(frozen=True, slots=True)
class MemberWish:
    """What is to change of a member; None: stays. `mute_s` counts from now, 0 ends a mute."""

    role: str | None = None
    name_card: str | None = None
    mute_s: int | None = None
    custom: Mapping[str, str] | None = None


def member_edited(actor: Actor, group: Group, user: str, wish: MemberWish) -> Plan:
    """A member's role, card, mute or custom fields change."""
    if not actor.admin:
        demand(group, actor.user, Act.READ)
    member = after = _member(group, user)
    if not actor.admin:
        _demand_member_edit(actor.user, group, user, wish)
    plan = Plan()
    news = wire.MemberInfoChange(account=user)
    tips: list[wire.GroupTipContent] = []
    if wish.role is not None and wish.role != member.role:
        if wish.role not in (ADMIN, MEMBER) or member.role == OWNER:
            raise InvalidArgument("Role must be Admin or Member; ownership is passed on with change_group_owner", code=10004)
        if not may(OWNER, group.type, Act.SET_ADMIN):
            raise NoPermission(f"a {group.type} group has no admins")
        after = replace(after, role=wish.role)
        tips.append(wire.GroupTipContent(op_type=ADMIN_SET if wish.role == ADMIN else ADMIN_OFF, users=[user]))
    if wish.name_card is not None and wish.name_card != member.name_card:
        after, news.name_card = replace(after, name_card=wish.name_card), wish.name_card
    if wish.mute_s is not None and (wish.mute_s or member.muted_until):
        after = replace(after, muted_until=actor.now + wish.mute_s if wish.mute_s else 0)
        news.muted_s = wish.mute_s
    if wish.custom is not None and dict(wish.custom) != member.custom:
        after, news.custom = replace(after, custom=dict(wish.custom)), dict(wish.custom)
    if after == member:
        return plan
    plan.change(ch.SetMember(group.group_id, user, after))
    if news != wire.MemberInfoChange(account=user):
        tips.append(wire.GroupTipContent(op_type=MEMBER_INFO, users=[user], members=[news]))
    for one in tips:
        plan.tell(tip(group, actor.account, one, len(group.members)))
    if after.role != member.role:
        plan.tell(group_notice(user, group, actor.user, MADE_ADMIN if after.role == ADMIN else NO_ADMIN))
    return plan


def _demand_member_edit(actor: str, group: Group, user: str, wish: MemberWish) -> None:
    if wish.role is not None:
        demand(group, actor, Act.SET_ADMIN)
    if wish.mute_s is not None:
        demand_over(group, actor, Act.MUTE, user)
    if (wish.name_card is not None or wish.custom is not None) and user != actor:
        demand_over(group, actor, Act.CARD, user)


def _enter(plan: Plan, actor: Actor, group: Group, accounts: Sequence[Account], limit: int) -> None:
    """Accounts that are no members come in; the tip is the first entry that they see."""
    limit = min(limit, group.max_members or limit)
    if len(group.members) + len(accounts) > limit:
        raise LimitReached(f"group {group.group_id!r} is full: {len(group.members)} members, the limit is {limit}", code=10014)
    from_now = KINDS[group.type] not in HISTORY_FROM_BEFORE
    members = {account.user_id: Member(MEMBER, joined=actor.now) for account in accounts}
    plan.change(ch.AddMembers(group.group_id, members, from_now))
    wishes = [user for user in members if user in group.applications]
    plan.change(*(ch.RemoveGroupApplication(group.group_id, user) for user in wishes))
    facts = [wire.TipMember(account=a.user_id, nick=a.nickname, face_url=a.face_url) for a in accounts]
    content = wire.GroupTipContent(op_type=JOIN, users=list(members), member_info=facts)
    plan.tell(tip(group, actor.account, content, len(group.members) + len(members)))


def _room_for_wishes(group: Group, users: Iterable[str]) -> None:
    if len(group.applications.keys() | set(users)) > APPLICATIONS_LIMIT:
        raise LimitReached(f"{APPLICATIONS_LIMIT} wait for group {group.group_id!r} to let them in already", code=10014)


def _approvers(group: Group) -> list[str]:
    return [user for user, member in group.members.items() if may(member.role, group.type, Act.APPROVE)]


def _asks_in(group: Group, user: str) -> bool:
    role = role_of(group, user)
    return user in group.members and may(role, group.type, Act.ASK_IN)


def _member(group: Group, user: str) -> Member:
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
