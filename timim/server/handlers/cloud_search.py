"""Handlers of searches at the server. A user finds own messages, own groups and their members, and all users."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeVar

from ...errors import InvalidArgument, RateLimited
from ...ids import checked_user_id
from ...protocol import cloud_search as wire
from ...protocol.profiles import FACE, NICK
from ...protocol.searchable import parse_query
from ..store.base import StoredEntry, c2c_timeline, group_timeline
from ..store.search import MessageQuery, SearchedTimeline
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

CONVERSATIONS_LIMIT = 1000  # the newest ones of a user
IN_EACH = 100  # candidates of each conversation, when all are searched
IN_ONE = 1000
PAGE = 100
INDEXING_LIMIT_S = 2.0
BAD_QUERY, INDEXING = 30001, 60007
GENDER, BIRTHDAY = "Tag_Profile_IM_Gender", "Tag_Profile_IM_BirthDay"
T = TypeVar("T")


@HANDLERS.serve(wire.SEARCH_MESSAGES, paged=True)
async def search_messages(context: RequestContext, body: wire.SearchMessagesRequest) -> wire.SearchMessagesReply:
    """Return the messages that match, newest first: of one conversation, or the newest one of each conversation."""
    store = context.services.store.search
    if not (body.keywords or body.kinds or body.senders):
        raise InvalidArgument("the search needs KeywordList, MsgTypeList or SendUserIDList", code=BAD_QUERY)
    query = MessageQuery(
        keywords=_keywords(body.keywords),
        every=body.match == "and",
        senders=tuple(_few(body.senders, wire.KEYWORDS_LIMIT, "SendUserIDList")),
        kinds=tuple(_few(body.kinds, wire.KINDS_LIMIT, "MsgTypeList")),
        since=body.since,
        until=body.until,
    )
    lines = await store.timelines(context.user, CONVERSATIONS_LIMIT)
    one = bool(body.peer or body.group_id)
    if one:
        name = group_timeline(body.group_id) if body.group_id else c2c_timeline(context.user, checked_user_id(body.peer))
        lines = [line for line in lines if line.name == name]
    if query.keywords:
        await _index(context, lines)
    limit = IN_ONE if one else IN_EACH
    found = [(line, entries) for line in lines if (entries := await store.messages(context.user, line, query, limit))]
    reply = wire.SearchMessagesReply(total=sum(len(entries) for _, entries in found))
    if one:
        for line, entries in found:
            page, reply.cursor = _page(entries, body.count, body.cursor)
            reply.conversations.append(_conversation(context, line, len(entries), page))
        return reply
    found.sort(key=lambda one: -one[1][0].time)
    conversations, reply.cursor = _page(found, body.count, body.cursor)
    reply.conversations = [_conversation(context, line, len(entries), entries[:1]) for line, entries in conversations]
    return reply


async def _index(context: RequestContext, lines: Sequence[SearchedTimeline]) -> None:
    """Index the messages of conversations that are not indexed yet.

    Raises:
        RateLimited: There are more than the server indexes in one request; the next request goes on.
    """
    store, end = context.services.store.search, time.monotonic() + INDEXING_LIMIT_S
    for line in await store.behind(lines):
        while await store.index_more(line):
            if time.monotonic() > end:
                info = "the server is indexing the conversations of this account; search again in a second"
                raise RateLimited(info, code=INDEXING, retry_after=1.0)


def _conversation(
    context: RequestContext, line: SearchedTimeline, count: int, entries: Sequence[StoredEntry]
) -> wire.FoundConversation:
    kind, *names = line.name.split("\x1f")
    group = kind == "group"
    messages = [context.services.history.render(entry, group=group) for entry in entries]
    if group:
        return wire.FoundConversation(group_id=names[0], count=count, messages=messages)
    peer = names[1] if names[0] == context.user else names[0]
    return wire.FoundConversation(user_id=peer, count=count, messages=messages)


@HANDLERS.serve(wire.SEARCH_USERS, paged=True)
async def search_users(context: RequestContext, body: wire.SearchUsersRequest) -> wire.SearchUsersReply:
    """Return users whose id or nickname contains the keywords."""
    words = _contained(body.keywords)
    found = await context.services.store.search.accounts(words, every=bool(body.every), after=body.cursor)
    if body.gender:
        found = [one for one in found if one.details.get(GENDER) == body.gender]
    if body.born_from or body.born_until:
        end = body.born_until or 1 << 62
        found = [one for one in found if body.born_from <= _number(one.details.get(BIRTHDAY, "")) <= end]
    page = found[: max(1, min(body.count, PAGE))]
    reply = wire.SearchUsersReply(total=len(found), cursor=page[-1].user_id if len(page) < len(found) else "")
    for one in page:
        fields = {NICK: one.nickname, FACE: one.face_url} | dict(one.details)
        profile = [wire.ProfileValue(tag=tag, value=value) for tag, value in fields.items()]
        reply.users.append(wire.FoundUserItem(user_id=one.user_id, profile=profile))
    return reply


@HANDLERS.serve(wire.SEARCH_GROUPS, paged=True)
async def search_groups(context: RequestContext, body: wire.SearchGroupsRequest) -> wire.SearchGroupsReply:
    """Return groups of the caller whose id or name contains the keywords."""
    types = _few(body.types, wire.KINDS_LIMIT, "GroupType")
    found = await context.services.store.search.groups(context.user, _contained(body.keywords), every=bool(body.every))
    found = [one for one in found if not types or one.type in types]
    page, cursor = _page(found, body.count, body.cursor)
    reply = wire.SearchGroupsReply(total=len(found), cursor=cursor)
    for one in page:
        reply.groups.append(
            wire.FoundGroupItem(
                group_id=one.group_id,
                type=one.type,
                name=one.name,
                face_url=one.facts.get("face_url", ""),
                introduction=one.facts.get("introduction", ""),
                owner=one.owner,
                members=one.members,
                join_option=one.facts.get("apply_option", ""),
            )
        )
    return reply


@HANDLERS.serve(wire.SEARCH_MEMBERS, paged=True)
async def search_members(context: RequestContext, body: wire.SearchMembersRequest) -> wire.SearchMembersReply:
    """Return members of the caller's groups whose id, card or nickname contains the keywords."""
    types = _few(body.types, wire.KINDS_LIMIT, "GroupType")
    group_ids = _few(body.group_ids, wire.GROUPS_LIMIT, "GroupIdList")
    words = _contained(body.keywords)
    found = await context.services.store.search.members(context.user, group_ids, words, every=bool(body.every))
    found = [one for one in found if not types or one.group_type in types]
    page, cursor = _page(found, body.count, body.cursor)
    reply = wire.SearchMembersReply(total=len(found), cursor=cursor)
    for one in page:
        reply.members.append(
            wire.FoundMemberItem(
                group_id=one.group_id,
                type=one.group_type,
                name=one.group_name,
                face_url=one.group_face_url,
                user_id=one.user_id,
                nick=one.nickname,
                name_card=one.name_card,
                member_face_url=one.face_url,
            )
        )
    return reply


def _keywords(keywords: Sequence[str]) -> tuple[str, ...]:
    """Return the keywords, each of which has words."""
    for keyword in _few(keywords, wire.KEYWORDS_LIMIT, "KeywordList"):
        parse_query(keyword)
    return tuple(keywords)


def _contained(keywords: Sequence[str]) -> Sequence[str]:
    if not keywords:
        raise InvalidArgument("Keywords is empty; the search needs 1 keyword or more", code=BAD_QUERY)
    return _keywords(keywords)


def _few(values: Sequence[T], limit: int, name: str) -> Sequence[T]:
    if len(values) > limit:
        raise InvalidArgument(f"{name} has {len(values)} values; the limit is {limit}", code=BAD_QUERY)
    return values


def _page(found: Sequence[T], count: int, cursor: str) -> tuple[Sequence[T], str]:
    """Return a page of results, and the cursor of the next one, which is a number of results."""
    begin = _number(cursor)
    end = begin + max(1, min(count, PAGE))
    return found[begin:end], str(end) if end < len(found) else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0
