"""What Tencent's web client asks at login besides messages and conversations: profiles, groups, and lists that are empty here.

A list that is empty says so in the shape that ends the client's asking.
"""

from __future__ import annotations

from ...errors import TimimError, UnknownUser
from ...ids import checked_user_id
from ...wire import web as wire
from ...wire.codec import Body, Reply
from ..store.base import Group, c2c_timeline, group_timeline
from .table import TABLE, Call

MEMBERS_PAGE = 100
GROUPS_PAGE = 200


@TABLE.serve(wire.GET_PROFILES)
async def profiles(call: Call, body: wire.GetProfiles) -> wire.GetProfilesReply:
    items: list[wire.UserProfile] = []
    for asked in body.items:
        try:
            account = await call.services.directory.account(asked.to_account)
        except UnknownUser:
            continue
        fields = [
            wire.ProfileItem(tag="Tag_Profile_IM_Nick", value=account.nickname),
            wire.ProfileItem(tag="Tag_Profile_IM_Image", value=account.face_url),
        ]
        items.append(wire.UserProfile(to_account=account.user_id, items=fields))
    return wire.GetProfilesReply(items=items)


@TABLE.serve(wire.JOINED_GROUPS)
async def joined_groups(call: Call, body: wire.JoinedGroups) -> wire.JoinedGroupsReply:
    groups = [group for group in await call.services.store.groups_of(call.user) if group.type != "Community"]
    page = groups[body.offset : body.offset + max(1, min(body.limit, GROUPS_PAGE))]
    return wire.JoinedGroupsReply(total=len(groups), items=[await _profile(call, group) for group in page])


@TABLE.serve(wire.JOINED_COMMUNITIES)
async def joined_communities(call: Call, body: wire.JoinedGroups) -> wire.JoinedGroupsReply:
    groups = [group for group in await call.services.store.groups_of(call.user) if group.type == "Community"]
    page = groups[body.offset : body.offset + max(1, min(body.limit, GROUPS_PAGE))]
    return wire.JoinedGroupsReply(total=len(groups), items=[await _profile(call, group) for group in page])


@TABLE.serve(wire.GROUP_INFO)
async def group_info(call: Call, body: wire.GroupInfo) -> wire.GroupInfoReply:
    return wire.GroupInfoReply(items=[await _told(call, group_id) for group_id in body.ids[:GROUPS_PAGE]])


@TABLE.serve(wire.OWN_GROUPS)
async def own_groups(call: Call, body: wire.GroupInfo) -> wire.OwnGroupsReply:
    return wire.OwnGroupsReply(items=[await _told(call, group_id) for group_id in body.ids[:GROUPS_PAGE]])


@TABLE.serve(wire.GROUP_MEMBERS)
async def group_members(call: Call, body: wire.OneGroup) -> wire.MembersReply:
    group = await call.services.directory.group_for(call.user, body.group_id)
    page = list(group.members.items())[body.offset : body.offset + max(1, min(body.limit, MEMBERS_PAGE))]
    items = [wire.MemberProfile(account=user, role=member.role, name_card=member.name_card) for user, member in page]
    return wire.MembersReply(member_num=len(group.members), items=items)


@TABLE.serve(wire.PEER_READ_TIMES)
async def peer_read_times(call: Call, body: wire.PeerReadTimes) -> wire.PeerReadTimesReply:
    store = call.services.store
    lines = [(checked_user_id(peer), c2c_timeline(call.user, peer)) for peer in body.peers[:GROUPS_PAGE]]
    return wire.PeerReadTimesReply(times=[await store.read_time(peer, line) for peer, line in lines])


async def _told(call: Call, group_id: str) -> wire.GroupProfile:
    try:
        return await _profile(call, await call.services.directory.group_for(call.user, group_id))
    except TimimError as exc:
        return wire.GroupProfile(group_id=group_id, type="", name="", error_code=exc.code, error_info=exc.info)


async def _profile(call: Call, group: Group) -> wire.GroupProfile:
    last = await call.services.store.timeline_page(group_timeline(group.group_id), 1, 1 << 62, 1)
    return wire.GroupProfile(
        group_id=group.group_id,
        type=group.type,
        name=group.name,
        owner=group.owner,
        created=group.created,
        member_num=len(group.members),
        last_msg_time=last.entries[0].time if last.entries else 0,
        next_msg_seq=last.last_seq + 1,
        self_info=wire.SelfInfo(role=group.members[call.user].role),
    )


@TABLE.serve(wire.BLACK_LIST)
async def black_list(call: Call, body: wire.ListPage) -> wire.BlackListReply:
    return wire.BlackListReply()


@TABLE.serve(wire.FRIENDS)
async def friends(call: Call, body: wire.ListPage) -> wire.FriendsReply:
    return wire.FriendsReply()


@TABLE.serve(wire.FRIEND_GROUPS)
async def friend_groups(call: Call, body: Body) -> wire.FriendGroupsReply:
    return wire.FriendGroupsReply()


@TABLE.serve(wire.PENDENCY)
async def pendency(call: Call, body: Body) -> wire.PendencyReply:
    return wire.PendencyReply()


@TABLE.serve(wire.CONTACT_GROUPS)
async def contact_groups(call: Call, body: Body) -> wire.ContactGroupsReply:
    return wire.ContactGroupsReply()


@TABLE.serve(wire.SEARCH_CONTACTS)
async def search_contacts(call: Call, body: wire.SearchContacts) -> wire.SearchContactsReply:
    return wire.SearchContactsReply()


@TABLE.serve(wire.FETCH_CONFIG)
async def fetch_config(call: Call, body: Body) -> Reply:
    return Reply()


@TABLE.serve(wire.FETCH_PURCHASES)
async def fetch_purchases(call: Call, body: Body) -> Reply:
    return Reply()


@TABLE.serve(wire.REPORT)
async def report(call: Call, body: Body) -> Reply:
    """The client's statistics of itself: taken, and kept nowhere."""
    return Reply()
