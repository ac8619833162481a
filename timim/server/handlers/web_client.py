"""What Tencent's web client asks besides the REST vocabulary. An empty list has the shape that ends its asking."""

from __future__ import annotations

import uuid as uuids

import msgspec

from ...errors import TimimError
from ...ids import checked_user_id
from ...protocol import groups
from ...protocol import profiles as profile
from ...protocol import web_client as wire
from ...protocol.codec import Body, Reply
from ..store.base import c2c_timeline
from .groups import group_info
from .profiles import get_profiles
from .registry import TABLE, Call

AT_ONCE = 100
PICTURE = 1  # of `file_type`
UPLOAD_LASTS_S = 3600


@TABLE.serve(wire.GET_FULL_PROFILES)
async def profiles(call: Call, body: wire.GetFullProfilesRequest) -> profile.GetProfilesReply:
    return await get_profiles(call, profile.GetProfilesRequest(accounts=[item.account for item in body.items]))


@TABLE.serve(wire.JOINED_COMMUNITIES)
async def joined_communities(call: Call, body: groups.ListJoinedGroupsRequest) -> groups.ListJoinedGroupsReply:
    """Communities are among the joined groups here: there are none apart."""
    return groups.ListJoinedGroupsReply()


@TABLE.serve(wire.OWN_GROUPS)
async def own_groups(call: Call, body: wire.OwnGroupsRequest) -> wire.OwnGroupsReply:
    return wire.OwnGroupsReply(groups=[await _own_group(call, group_id) for group_id in body.ids[:AT_ONCE]])


async def _own_group(call: Call, group_id: str) -> wire.OwnGroupItem:
    try:
        group = await call.services.directory.group_for(call.user, group_id)
    except TimimError as exc:
        return wire.OwnGroupItem(group_id=group_id, error_code=exc.code, error_info=exc.info)
    member = group.members[call.user]
    me = wire.OwnMemberInfo(role=member.role, name_card=member.name_card, join_time=member.joined)
    return wire.OwnGroupItem(**msgspec.structs.asdict(await group_info(call, group)), self_info=me)


@TABLE.serve(wire.PEER_READ_TIMES)
async def peer_read_times(call: Call, body: wire.PeerReadTimesRequest) -> wire.PeerReadTimesReply:
    store = call.services.store
    lines = [(checked_user_id(peer), c2c_timeline(call.user, peer)) for peer in body.peers[:AT_ONCE]]
    return wire.PeerReadTimesReply(times=[await store.read_time(peer, line) for peer, line in lines])


@TABLE.serve(wire.PRE_SIGN)
async def pre_sign(call: Call, body: wire.PreSignRequest) -> wire.PreSignReply:
    """The content's name is made here; it is content once its bytes have come to the signed address."""
    media, uuid = call.services.media, uuids.uuid4().hex
    kind = "image" if body.file_type == PICTURE else "file"
    lasts_s = max(1, min(body.duration, UPLOAD_LASTS_S))
    return wire.PreSignReply(upload_url=media.upload_url(uuid, call.user, kind, lasts_s), download_url=media.url(uuid))


@TABLE.serve(wire.LIST_CONVERSATION_GROUPS)
async def contact_groups(call: Call, body: Body) -> wire.ConversationGroupsReply:
    return wire.ConversationGroupsReply()


@TABLE.serve(wire.SEARCH_CONVERSATION_GROUPS)
async def search_contacts(call: Call, body: Body) -> wire.SearchConversationGroupsReply:
    return wire.SearchConversationGroupsReply()


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
