"""Tests of searches at the server by the web client, for what a timim client has sent, and the other way round."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.webclient import WebClient, WebError, web_client
from timim import FileElem
from timim.testing import RunningServer, running_server

pytestmark = pytest.mark.judge


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(data_dir=tmp_path / "server") as running:
        await running.add_users("bob", "carol")
        yield running


@pytest.fixture
async def alice(server: RunningServer) -> AsyncIterator[WebClient]:
    async with web_client(server, "alice") as web:
        await web.login()
        yield web


async def test_messages_are_searched_at_the_server_by_both_clients(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob, server.client("carol") as carol:
        group = await bob.groups.create("Public", name="team", members=["alice"])
        await bob.c2c("alice").send("买了发票")
        await bob.c2c("alice").send(FileElem(data=b"1", filename="发票.pdf"))
        await bob.c2c("alice").send("nothing")
        gone = await bob.c2c("alice").send("no 发票")
        await gone.recall()
        await group.conversation.send("the Invoice")
        await bob.c2c("carol").send("a secret 发票")
        for_alice = {"keywordList": ["发票"], "conversationID": "C2Cbob"}
        (found,) = (await alice.call("searchCloudMessages", for_alice))["searchResultList"]
        assert (found["conversationID"], found["messageCount"]) == ("C2Cbob", 2)
        assert [one["type"] for one in found["messageList"]] == ["TIMFileElem", "TIMTextElem"]
        texts = {"keywordList": ["发票", "invoice"], "messageTypeList": ["TIMTextElem"], "keywordListMatchType": "or"}
        everywhere = await alice.call("searchCloudMessages", texts)
        assert everywhere["totalCount"] == 2
        shown = {one["conversationID"]: one["messageList"][0] for one in everywhere["searchResultList"]}
        assert shown["C2Cbob"]["payload"]["text"] == "买了发票"
        assert shown[f"GROUP{group.id}"]["payload"]["text"] == "the Invoice"
        assert shown[f"GROUP{group.id}"]["from"] == "bob"
        paged = await alice.call("searchCloudMessages", for_alice | {"count": 1})
        rest = await alice.call("searchCloudMessages", for_alice | {"count": 1, "cursor": paged["cursor"]})
        assert [page["searchResultList"][0]["messageList"][0]["type"] for page in (paged, rest)] == [
            "TIMFileElem",
            "TIMTextElem",
        ]
        assert rest["cursor"] == ""
        await alice.send("text", "bob", {"text": "eine Rechnung"})
        page = await bob.cloud_search.messages("rech*")
        assert [(one.sender, one.text) for one in page.items] == [("alice", "eine Rechnung")]
        late = await carol.cloud_search.messages("发票")
        assert [(one.conversation.peer, one.text) for one in late.items] == [("bob", "a secret 发票")]
        assert (await carol.cloud_search.messages("invoice")).items == ()


async def test_users_groups_and_members_are_searched_on_the_web(server: RunningServer, alice: WebClient) -> None:
    async with server.client("bob") as bob, server.client("carol") as carol:
        await bob.profile.set(nickname="Robert")
        team = await bob.groups.create("Public", name="the Team", members=["alice"])
        await team.set_name_card("the chief")
        await bob.groups.create("Public", name="another team")
        users = (await alice.call("searchCloudUsers", {"keywordList": ["rob"]}))["searchResultList"]
        assert [(one["userID"], one["nick"]) for one in users] == [("bob", "Robert")]
        found = await alice.call("searchCloudGroups", {"keywordList": ["team"]})
        assert [(one["groupID"], one["name"], one["memberCount"]) for one in found["searchResultList"]] == [
            (team.id, "the Team", 2)
        ]
        members = await alice.call("searchCloudGroupMembers", {"keywordList": ["chief"], "groupIDList": [team.id]})
        (one,) = members["searchResultList"]
        assert one["groupInfo"]["groupID"] == team.id
        assert [(member["userID"], member["nameCard"], member["nick"]) for member in one["memberList"]] == [
            ("bob", "the chief", "Robert")
        ]
        with pytest.raises(WebError):
            await alice.call("searchCloudUsers", {"keywordList": ["%"]})
        assert [user.user_id for user in (await carol.cloud_search.users("AR")).items] == ["carol"]
        assert {group.name for group in (await bob.cloud_search.groups("team")).items} == {"the Team", "another team"}
        assert (await carol.cloud_search.groups("team")).items == ()
        assert [one.name_card for one in (await bob.cloud_search.members("chief", groups=[team.id])).items] == ["the chief"]
        assert (await carol.cloud_search.members("chief", groups=[team.id])).items == ()
