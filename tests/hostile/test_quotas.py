"""Tests of quotas: the number and the size of things that one account can make the server keep."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.support.program_server import server_of
from tests.support.raw_session import raw_session
from timim import LimitReached, MessageTooLong, UnknownUser
from timim.protocol.codec import encode
from timim.protocol.conversation_settings import SET_CONVERSATION_SETTINGS, SetConversationSettingsRequest
from timim.protocol.entries import PushInfo
from timim.protocol.groups import CREATE_GROUP, DESTROY_GROUP, CreateGroupRequest, GroupIdRequest
from timim.protocol.media import BeginUpload
from timim.testing import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
MUTANT = ("-m", "tests.mutants.no_quotas")
LIMITS: dict[str, Any] = {
    "drafts_per_user": 3,
    "marked_conversations": 5,
    "groups_per_owner": 2,
    "media_unnamed_bytes": 5000,
    "max_message_bytes": 12_000,
}
PEERS = [f"peer-{n}" for n in range(6)]
Check = Callable[[RunningServer], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    async with server_of((), tmp_path_factory.mktemp("server"), settings=LIMITS, users=PEERS) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mutant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    async with server_of(MUTANT, tmp_path_factory.mktemp("mutant"), settings=LIMITS, users=PEERS) as running:
        yield running


async def check_drafts(server: RunningServer) -> None:
    """Check that drafts are bounded, and that another can be made after one was removed."""
    async with raw_session(server) as session:
        await session.login("drafts")

        async def draft(peer: str, text: str) -> None:
            await session.call(SET_CONVERSATION_SETTINGS, SetConversationSettingsRequest(peer=peer, draft=text))

        for peer in PEERS[:3]:
            await draft(peer, "half")
        await draft(PEERS[0], "longer")
        with pytest.raises(LimitReached, match="limit is 3"):
            await draft(PEERS[3], "half")
        await draft(PEERS[0], "")
        await draft(PEERS[3], "half")


async def check_marks(server: RunningServer) -> None:
    """Check that conversations with settings are bounded, also if the settings were taken back."""
    async with raw_session(server) as session:
        await session.login("marks")

        async def pin(peer: str, pinned: int) -> None:
            await session.call(SET_CONVERSATION_SETTINGS, SetConversationSettingsRequest(peer=peer, pinned=pinned))

        for peer in PEERS[:5]:
            await pin(peer, 1)
            await pin(peer, 0)
        with pytest.raises(LimitReached, match="limit is 5"):
            await pin(PEERS[5], 1)
        await pin(PEERS[0], 1)


async def check_groups(server: RunningServer) -> None:
    """Check that the groups of an owner are bounded, and that another can be made after one was dissolved."""
    async with raw_session(server) as session:
        await session.login("groups")
        made = [await session.call(CREATE_GROUP, CreateGroupRequest(type="Public", name="g")) for _ in range(2)]
        with pytest.raises(LimitReached, match="limit is 2"):
            await session.call(CREATE_GROUP, CreateGroupRequest(type="Public", name="g"))
        await session.call(DESTROY_GROUP, GroupIdRequest(group_id=made[0].group_id))
        await session.call(CREATE_GROUP, CreateGroupRequest(type="Public", name="g"))


async def check_uploads(server: RunningServer) -> None:
    """Check that content which no message names is bounded."""
    async with raw_session(server) as session, httpx2.AsyncClient() as http:
        await session.login("uploads")
        place, headers = f"{server.url.replace('ws', 'http', 1)}/media", {"Authorization": f"Bearer {session.token}"}
        codes = []
        for n in range(4):
            content = bytes([n]) * 2000
            begin = BeginUpload(upload=f"{n:032x}", kind="file", size=2000, hash=hashlib.sha256(content).hexdigest())
            codes.append((await http.post(place, content=encode(begin), headers=headers)).status_code)
            if n == 0:  # finished content counts as the unfinished
                await http.put(f"{place}/uploads/{n:032x}", params={"offset": 0}, content=content, headers=headers)
        assert codes == [200, 200, 429, 429]


async def check_sizes(server: RunningServer) -> None:
    """Check that the limit of a message counts each part of it."""
    long = "x" * 200_000
    async with raw_session(server) as session:
        await session.login("sizes")
        parts: list[dict[str, Any]] = [
            {"text": long},
            {"cloud_custom_data": long},
            {"push": PushInfo(title=long)},
            {"push": PushInfo(desc=long)},
            {"push": PushInfo(ext=long)},
            {"text": "x" * 5000, "cloud_custom_data": "x" * 5000, "push": PushInfo(ext="x" * 3000)},
        ]
        for part in parts:
            with pytest.raises(MessageTooLong) as refused:
                await session.send(PEERS[0], **part)
            assert refused.value.code == 93000
        await session.send(PEERS[0], text="x" * 5000, cloud_custom_data="x" * 5000)


CHECKS = [
    pytest.param(check_drafts, marks=pytest.mark.requirement("H12")),
    pytest.param(check_marks, marks=pytest.mark.requirement("H12")),
    pytest.param(check_groups, marks=pytest.mark.requirement("H12")),
    pytest.param(check_uploads, marks=pytest.mark.requirement("H12")),
    pytest.param(check_sizes, marks=pytest.mark.requirement("H24")),
]


@pytest.mark.parametrize("check", CHECKS)
async def test_an_account_makes_the_server_keep_so_much_and_no_more(server: RunningServer, check: Check) -> None:
    await check(server)


@pytest.mark.parametrize("check", CHECKS)
async def test_a_server_without_quotas_is_detected(mutant: RunningServer, check: Check) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await check(mutant)


@pytest.mark.requirement("H12")
async def test_a_draft_for_an_account_that_does_not_exist_is_refused(server: RunningServer) -> None:
    async with raw_session(server) as session:
        await session.login("drafts")
        with pytest.raises(UnknownUser):
            await session.call(SET_CONVERSATION_SETTINGS, SetConversationSettingsRequest(peer="nobody-at-all", draft="x"))
