"""Handlers of commands that only Tencent's web client sends."""

from __future__ import annotations

import re
import uuid as uuids

import msgspec

from ...errors import TimimError
from ...ids import checked_user_id
from ...protocol import groups
from ...protocol import profiles as profile
from ...protocol import web_client as wire
from ...protocol.codec import Body, Reply
from ...protocol.conversation_settings import MUTED, NOTIFYING
from ..store.base import c2c_timeline, group_timeline
from .groups import group_info, list_joined
from .profiles import get_profiles
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

AT_ONCE = 100
PICTURE = 1  # a value of `file_type`
UPLOAD_LASTS_S = 3600
_VOICE = re.compile(
    r"\.(?:wav|pcm|ogg-opus|speex|silk|mp3|m4a|aac|amr)\Z"
)  # without one of these in the URL, no conversion to text


@HANDLERS.serve(wire.GET_FULL_PROFILES, paged=True)
async def profiles(context: RequestContext, body: wire.GetFullProfilesRequest) -> profile.GetProfilesReply:
    """Return full profiles."""
    return await get_profiles(context, profile.GetProfilesRequest(accounts=[item.account for item in body.items]))


@HANDLERS.serve(wire.JOINED_COMMUNITIES)
async def joined_communities(context: RequestContext, body: groups.ListJoinedGroupsRequest) -> groups.ListJoinedGroupsReply:
    """Return the Communities that have topics, if they are asked for. The list of joined groups contains the others."""
    return await list_joined(context, body) if body.has_topics == 1 else groups.ListJoinedGroupsReply()


@HANDLERS.serve(wire.OWN_GROUPS)
async def own_groups(context: RequestContext, body: wire.OwnGroupsRequest) -> wire.OwnGroupsReply:
    """Return groups with the caller's membership in each."""
    return wire.OwnGroupsReply(groups=[await _own_group(context, group_id) for group_id in body.ids[:AT_ONCE]])


async def _own_group(context: RequestContext, group_id: str) -> wire.OwnGroupItem:
    try:
        group = await context.services.entities.group_for(context.user, group_id)
    except TimimError as exc:
        return wire.OwnGroupItem(group_id=group_id, error_code=exc.code, error_info=exc.info)
    member = group.members[context.user]
    (muted,) = await context.services.store.conversations.muted(context.user, [group_timeline(group_id)])
    flag = MUTED if muted else NOTIFYING
    me = wire.OwnMemberInfo(role=member.role, name_card=member.name_card, join_time=member.joined, msg_flag=flag)
    return wire.OwnGroupItem(**msgspec.structs.asdict(await group_info(context, group)), self_info=me)


@HANDLERS.serve(wire.PEER_READ_TIMES)
async def peer_read_times(context: RequestContext, body: wire.PeerReadTimesRequest) -> wire.PeerReadTimesReply:
    """Return for each peer the time up to which that peer has read."""
    store = context.services.store
    lines = [(checked_user_id(peer), c2c_timeline(context.user, peer)) for peer in body.peers[:AT_ONCE]]
    return wire.PeerReadTimesReply(times=[await store.conversations.read_time(peer, line) for peer, line in lines])


@HANDLERS.serve(wire.PRE_SIGN)
async def pre_sign(context: RequestContext, body: wire.PreSignRequest) -> wire.PreSignReply:
    """Return a signed URL for an upload, and the URL of the content after that upload."""
    media, uuid = context.services.downloads, uuids.uuid4().hex
    kind = "image" if body.file_type == PICTURE else "file"
    lasts_s = max(1, min(body.duration, UPLOAD_LASTS_S))
    voice = _VOICE.search(body.file_name)
    url = media.url(uuid) + (f"?format={voice[0]}" if voice else "")
    return wire.PreSignReply(upload_url=media.upload_url(uuid, context.user, kind, lasts_s), download_url=url)


@HANDLERS.serve(wire.FETCH_CONFIG)
async def fetch_config(context: RequestContext, body: Body) -> Reply:
    """Return an empty configuration."""
    return Reply()


@HANDLERS.serve(wire.FETCH_PURCHASES)
async def fetch_purchases(context: RequestContext, body: Body) -> wire.PurchasesReply:
    """Return the features that the server serves."""
    return wire.PurchasesReply()


@HANDLERS.serve(wire.REPORT)
async def report(context: RequestContext, body: Body) -> Reply:
    """Accept the client's statistics, and discard them."""
    return Reply()
