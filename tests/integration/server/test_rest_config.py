"""Tests over REST of mutes of an account everywhere, figures about the app, and files with the messages of an hour."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.support.rest import RestClient, text
from tests.support.users import Users
from timim import Muted
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG, FILES = "openconfigsvr/", "open_msg_svc/get_history"
FOR_EVER = (1 << 32) - 1


@pytest_asyncio.fixture(loop_scope="module")
async def rest(shared_server: RunningServer) -> AsyncIterator[RestClient]:
    async with RestClient(shared_server) as client:
        yield client


async def test_a_muted_account_sends_neither_to_users_nor_to_groups(rest: RestClient, users: Users) -> None:
    loud, peer = await users.login("loud"), await users.login("peer")
    group = await peer.groups.create("Public", name="g", members=[users.id("loud")])
    received = EventRecorder(peer)
    message = await loud.c2c(users.id("peer")).send("before")
    named = {"Set_Account": users.id("loud")}
    await rest.done(CONFIG + "setnospeaking", named | {"C2CmsgNospeakingTime": 600})
    with pytest.raises(Muted) as c2c:
        await loud.c2c(users.id("peer")).send("not now")
    assert (c2c.value.code, 590 < (c2c.value.retry_after or 0) <= 600) == (20012, True)
    with pytest.raises(Muted):
        await message.edit("changed")
    await loud.groups.of(group.id).conversation.send("to the group")
    await rest.done(CONFIG + "setnospeaking", named | {"GroupmsgNospeakingTime": FOR_EVER})
    with pytest.raises(Muted) as groups:
        await loud.groups.of(group.id).conversation.send("not now")
    assert (groups.value.code, groups.value.retry_after) == (10017, None)
    left = await rest.done(CONFIG + "getnospeaking", {"Get_Account": users.id("loud")})
    assert 590 <= left["C2CmsgNospeakingTime"] <= 600
    assert left["GroupmsgNospeakingTime"] == FOR_EVER
    sent = {"From_Account": users.id("loud"), "MsgBody": text("over REST")}
    await rest.done("openim/sendmsg", sent | {"To_Account": users.id("peer"), "MsgRandom": 1})
    await rest.done("group_open_http_svc/send_group_msg", sent | {"GroupId": group.id, "Random": 1})
    await rest.done(CONFIG + "setnospeaking", named | {"C2CmsgNospeakingTime": 0, "GroupmsgNospeakingTime": 0})
    await loud.c2c(users.id("peer")).send("again")
    await loud.groups.of(group.id).conversation.send("again in the group")
    await received.wait_for_message(lambda m: m.text == "again in the group")
    texts = [m.text for m in received.messages if m.text]
    assert texts == ["before", "to the group", "over REST", "over REST", "again", "again in the group"]


@pytest.mark.parametrize(
    "command, body, code",
    [
        ("setnospeaking", {"Set_Account": "administrator"}, 90001),
        ("setnospeaking", {"Set_Account": "administrator", "C2CmsgNospeakingTime": -1}, 90001),
        ("setnospeaking", {"Set_Account": "nobody", "C2CmsgNospeakingTime": 1}, 20003),
        ("setnospeaking", {"Set_Account": 7, "C2CmsgNospeakingTime": 1}, 90001),
        ("getnospeaking", {"Get_Account": "nobody"}, 20003),
        ("getappinfo", {"RequestField": ["Nonsense"]}, 90001),
    ],
)
async def test_wrong_requests_are_refused(rest: RestClient, command: str, body: dict[str, Any], code: int) -> None:
    assert (await rest.call(CONFIG + command, body))["ErrorCode"] == code


async def test_figures_of_the_app_grow_with_its_messages_groups_and_accounts(rest: RestClient, users: Users) -> None:
    async def today() -> dict[str, int]:
        days = (await rest.done(CONFIG + "getappinfo", {}))["Result"]
        assert len(days) == 30
        assert [day["Date"] for day in days] == sorted(day["Date"] for day in days)
        assert all(isinstance(value, str) for day in days for value in day.values())
        return {name: int(value) for name, value in days[-1].items() if value.isdecimal()}

    before = await today()
    alice, _ = await users.login("alice"), await users.login("bob")
    group = await alice.groups.create("Public", name="g", members=[users.id("bob")])
    for n in range(2):
        await alice.c2c(users.id("bob")).send(f"text {n}")
    await group.conversation.send("to all")
    after = await today()
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == {
        "RegistUserNumTotal": 2,
        "UpMsgNum": 3,
        "SendMsgUserNum": 1,
        "C2CUpMsgNum": 2,
        "C2CSendMsgUserNum": 1,
        "GroupUpMsgNum": 1,
        "GroupSendMsgUserNum": 1,
        "GroupSendMsgGroupNum": 1,
        "GroupJoinGroupTimes": 2,
        "GroupNewGroupNum": 1,
        "GroupAllGroupNum": 1,
    }
    some = (await rest.done(CONFIG + "getappinfo", {"RequestField": ["AppId", "UpMsgNum"]}))["Result"]
    assert some[-1] == {"AppId": str(after["AppId"]), "UpMsgNum": str(after["UpMsgNum"])}


async def test_the_messages_of_an_hour_are_in_files_with_right_sizes_and_hashes(rest: RestClient, users: Users) -> None:
    await rest.done("im_open_login_svc/multiaccount_import", {"Accounts": [users.id("alice"), users.id("bob")]})
    begin = int(time.time()) // 3600 * 3600 - 2 * 3600
    names = {"From_Account": users.id("alice"), "To_Account": users.id("bob"), "SyncFromOldSystem": 2}
    wanted = []
    for n, at in enumerate((begin - 1, begin, begin + 1800, begin + 3599, begin + 3600), 1):
        await rest.done("openim/importmsg", names | {"MsgRandom": n, "MsgTimeStamp": at, "MsgBody": text(f"at {at}")})
        if begin <= at < begin + 3600:
            wanted.append((users.id("alice"), users.id("bob"), at, n, text(f"at {at}")))
    created = {"Type": "Public", "Name": "g", "CreateTime": begin, "Owner_Account": users.id("alice")}
    group_id = (await rest.done("group_open_http_svc/import_group", created))["GroupId"]
    one = {"From_Account": users.id("bob"), "SendTime": begin + 5, "Random": 3, "MsgBody": text("in the group")}
    await rest.done("group_open_http_svc/import_group_msg", {"GroupId": group_id, "MsgList": [one]})
    hour = time.strftime("%Y%m%d%H", time.gmtime(begin + 8 * 3600))

    async def messages(type: str) -> list[dict[str, Any]]:
        (file,) = (await rest.done(FILES, {"ChatType": type, "MsgTime": hour}))["File"]
        async with httpx2.AsyncClient(trust_env=False) as http:
            packed = (await http.get(file["URL"])).raise_for_status().content
            assert (await http.get(file["URL"].replace("sign=", "sign=0"))).status_code in (401, 403)
        plain = gzip.decompress(packed)
        facts = [file[name] for name in ("FileSize", "GzipSize", "FileMD5", "GzipMD5")]
        assert facts == [len(plain), len(packed), hashlib.md5(plain).hexdigest(), hashlib.md5(packed).hexdigest()]
        expires = time.strptime(file["ExpireTime"], "%Y-%m-%d %H:%M:%S")
        assert time.mktime(expires) > 0
        found: list[dict[str, Any]] = json.loads(plain)["MsgList"]
        return found

    of_pair = [m for m in await messages("C2C") if m["From_Account"] == users.id("alice")]
    fields = ("From_Account", "To_Account", "MsgTimestamp", "MsgRandom", "MsgBody")
    assert sorted(tuple(m[name] for name in fields) for m in of_pair) == sorted(wanted, key=lambda m: m[2])
    (of_group,) = [m for m in await messages("Group") if m["GroupId"] == group_id]
    assert (of_group["From_Account"], of_group["MsgTimestamp"], of_group["MsgBody"]) == (
        users.id("bob"),
        begin + 5,
        text("in the group"),
    )


async def test_an_hour_without_a_file_is_refused(rest: RestClient) -> None:
    now = time.time() + 8 * 3600
    for at in (now, now - 6 * 86_400, now - 9 * 86_400):
        hour = time.strftime("%Y%m%d%H", time.gmtime(at))
        assert (await rest.call(FILES, {"ChatType": "C2C", "MsgTime": hour}))["ErrorCode"] == 1004
    for body in ({"ChatType": "Other", "MsgTime": "2026010100"}, {"ChatType": "C2C", "MsgTime": "20260230 1"}):
        assert (await rest.call(FILES, body))["ErrorCode"] == 1001
