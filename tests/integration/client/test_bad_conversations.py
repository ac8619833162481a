"""One conversation that cannot be synced stops neither the login nor the others; it is marked, reported and tried again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.rewriting_proxy import Frame, RewritingProxy, refused, rewriting_proxy
from timim import (
    Client,
    ConversationSyncFailed,
    Message,
    NetworkError,
    ProtocolError,
    RequestTimeout,
    ServerFault,
    UnknownElem,
    sign_user,
)
from timim.engine import sync_failures
from timim.testing import EventRecorder, RunningServer, running_server

TIMEOUT_S = 2.0
GOOD = ("good-1", "good-2", "good-3")


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(group_messages_per_s=0) as running:
        yield running


@pytest.fixture
async def proxy(server: RunningServer) -> AsyncIterator[RewritingProxy]:
    async with rewriting_proxy(server.url) as running:
        yield running


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_failures, "FIRST_PAUSE_S", 0.05)


def client(server: RunningServer, proxy: RewritingProxy, folder: Path) -> Client:
    signature = sign_user(server.app_id, server.secret_key, "bob")
    return Client(proxy.url, app_id=server.app_id, user_id="bob", user_sig=signature, data_dir=folder, timeout=TIMEOUT_S)


async def missed_messages(server: RunningServer, proxy: RewritingProxy, folder: Path, *, count: int = 3) -> None:
    """Let bob have a synced device, and miss `count` messages of the user "bad" and of each good user."""
    async with client(server, proxy, folder):
        pass
    for user in ("bad", *GOOD):
        async with server.client(user) as sender:
            for n in range(1, count + 1):
                await sender.c2c("bob").send(f"{user} {n}")


def texts_of(messages: list[Message], user: str) -> list[str]:
    return [message.text for message in messages if message.sender == user]


def is_history_of_bad(request: Frame | None) -> bool:
    return request is not None and request["body"].get("Peer_Account") == "bad"


def unanswered(frame: Frame, request: Frame | None) -> Frame | None:
    return None if is_history_of_bad(request) else frame


def refusing(frame: Frame, request: Frame | None) -> Frame | None:
    return refused(frame) if is_history_of_bad(request) else frame


def malformed_history(frame: Frame, request: Frame | None) -> Frame | None:
    if is_history_of_bad(request):
        frame["body"]["TimelineRange"] = "x"
    return frame


def malformed_item(frame: Frame, request: Frame | None) -> Frame | None:
    for item in frame["body"].get("SessionItem", ()):
        if item.get("To_Account") == "bad":
            item["TimelineDraft"] = {"not": "a text"}
    return frame


def endless_number(frame: Frame, request: Frame | None) -> Frame | None:
    for item in frame["body"].get("SessionItem", ()):
        if item.get("To_Account") == "bad":
            item["TimelineReadSeq"] = 10**30
    return frame


FAULTS = [
    pytest.param(unanswered, RequestTimeout, id="an answer that never comes"),
    pytest.param(refusing, ServerFault, id="a history that is refused"),
    pytest.param(malformed_history, ProtocolError, id="a malformed page"),
    pytest.param(malformed_item, ProtocolError, id="a malformed draft"),
    pytest.param(endless_number, ProtocolError, id="a number that no store can hold"),
]


@pytest.mark.requirement("P13")
@pytest.mark.parametrize("fault, error", FAULTS)
async def test_a_conversation_that_fails_is_left_out_and_tried_again(
    server: RunningServer,
    proxy: RewritingProxy,
    tmp_path: Path,
    fault: Callable[[Frame, Frame | None], Frame | None],
    error: type[Exception],
) -> None:
    await missed_messages(server, proxy, tmp_path)
    proxy.rewrite = fault
    bob = client(server, proxy, tmp_path)
    watch = EventRecorder(bob, ConversationSyncFailed)
    async with asyncio.timeout(TIMEOUT_S):
        await bob.login()
    await watch.wait_for_messages(3 * len(GOOD))
    for user in GOOD:
        assert texts_of(watch.messages, user) == [f"{user} {n}" for n in (1, 2, 3)]
        assert bob.c2c(user).sync_error is None
    failed = await watch.wait_for_event(ConversationSyncFailed)
    assert (failed.conversation, failed.attempts, failed.missing) == (bob.c2c("bad").key, 1, ())
    assert isinstance(failed.error, error)
    assert isinstance(bob.c2c("bad").sync_error, error)

    known = await bob.c2c("bad").coverage()
    assert (known.synced, known.complete) == (False, False)
    if fault not in (malformed_item, endless_number):  # their items do not even name the last seq
        assert known.gaps == ((1, 3),)

    async with server.client("bad") as bad, server.client("good-1") as good:  # live messages go on
        await bad.c2c("bob").send("bad 4")
        await good.c2c("bob").send("good-1 4")
    await watch.wait_for_message(lambda m: m.text == "good-1 4")
    again = await watch.wait_for_event(ConversationSyncFailed, lambda e: e.attempts == 3)
    assert again.retry_after_s == pytest.approx(0.2)
    assert texts_of(watch.messages, "bad") == []

    await bob.close()  # the pauses go on growing after another login
    bob = client(server, proxy, tmp_path)
    watch = EventRecorder(bob, ConversationSyncFailed)
    async with asyncio.timeout(TIMEOUT_S):
        await bob.login()
    assert isinstance(bob.c2c("bad").sync_error, error)
    later = await watch.wait_for_event(ConversationSyncFailed)
    assert later.attempts > again.attempts
    assert later.retry_after_s >= 2 * again.retry_after_s
    proxy.rewrite = lambda frame, request: frame
    await watch.wait_for_message(lambda m: m.text == "bad 4")
    assert texts_of(watch.messages, "bad") == [f"bad {n}" for n in (1, 2, 3, 4)]
    async with server.client("bad") as bad:
        await bad.c2c("bob").send("bad 5")
    await watch.wait_for_message(lambda m: m.text == "bad 5")
    assert bob.c2c("bad").sync_error is None
    assert (await bob.c2c("bad").coverage()).complete
    await bob.close()


@pytest.mark.requirement("P01", "P13")
@pytest.mark.parametrize("fault", [unanswered, malformed_history, malformed_item])
async def test_the_history_of_a_failed_conversation_is_never_taken_for_complete(
    server: RunningServer,
    proxy: RewritingProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Frame, Frame | None], Frame | None],
) -> None:
    await missed_messages(server, proxy, tmp_path)
    monkeypatch.setattr(sync_failures, "FIRST_PAUSE_S", 3600)
    proxy.rewrite = fault
    bob = client(server, proxy, tmp_path)
    watch = EventRecorder(bob)
    await bob.login()
    bad = bob.c2c("bad")
    if fault is not malformed_item:  # the history itself does not come
        page = await bad.get_messages(10)
        assert (page.complete, len(page)) == (False, 0)
        with pytest.raises(NetworkError):
            await bad.fetch_missing()
        for oldest_first in (True, False):
            with pytest.raises(NetworkError):
                [m async for m in bad.history(oldest_first=oldest_first)]
    proxy.rewrite = lambda frame, request: frame
    expected = [f"bad {n}" for n in (1, 2, 3)]
    assert [m.text async for m in bad.history(oldest_first=True)] == expected
    page = await bad.get_messages(10)
    assert ([m.text for m in page], page.complete) == (expected[::-1], True)
    assert [m.text async for m in bad.history()] == expected[::-1]
    assert bad.sync_error is not None  # not yet tried again
    assert texts_of(watch.messages, "bad") == []
    await bob.close()

    monkeypatch.setattr(sync_failures.SyncFailures, "next_due", at_once)  # the messages read before are still delivered
    bob = client(server, proxy, tmp_path)
    watch = EventRecorder(bob)
    async with bob:
        await watch.wait_for_message(lambda m: m.text == "bad 3")
        assert texts_of(watch.messages, "bad") == expected


async def at_once(failures: sync_failures.SyncFailures) -> sync_failures.SyncFailure:
    """Return the first failure without a pause."""
    waiting = list(failures._failures.values())
    return waiting[0] if waiting else await asyncio.get_running_loop().create_future()


@pytest.mark.requirement("P13")
async def test_many_unanswered_conversations_do_not_add_up(
    server: RunningServer, proxy: RewritingProxy, tmp_path: Path
) -> None:
    async with client(server, proxy, tmp_path):
        pass
    users = [f"bad-{n}" for n in range(30)]
    for user in users:
        async with server.client(user) as sender:
            for n in range(2):
                await sender.c2c("bob").send(f"{n}")

    def silent(frame: Frame, request: Frame | None) -> Frame | None:
        return None if request is not None and request["body"].get("Peer_Account", "").startswith("bad") else frame

    proxy.rewrite = silent
    bob = client(server, proxy, tmp_path)
    watch = EventRecorder(bob)
    async with asyncio.timeout(TIMEOUT_S):
        await bob.login()
    proxy.rewrite = lambda frame, request: frame
    await watch.wait_for_messages(60)
    await bob.close()


def with_bad_entry(time: object) -> Callable[[Frame, Frame | None], Frame | None]:
    """Return a function that gives the second message of "bad" this time, wherever the server sends it."""

    def spoil(entry: Frame) -> None:
        if entry.get("From_Account") == "bad" and "bad 2" in json.dumps(entry):
            entry["MsgTimeStamp"] = time

    def rewrite(frame: Frame, request: Frame | None) -> Frame | None:
        for entry in frame["body"].get("MsgList", ()):
            spoil(entry)
        for item in frame["body"].get("SessionItem", ()):
            spoil(item.get("TimelineMessage", {}))
        for event in frame["body"].get("EventArray", ()):
            for entry in event.get("C2cMsgArray", ()):
                spoil(entry)
        return frame

    return rewrite


@pytest.mark.requirement("P13")
@pytest.mark.parametrize("time", ["yesterday", 10**30])
@pytest.mark.parametrize("online", [True, False], ids=["pushed", "missed"])
async def test_a_message_that_cannot_be_decoded_is_a_gap_until_it_can(
    server: RunningServer, proxy: RewritingProxy, tmp_path: Path, online: bool, time: object
) -> None:
    await server.add_users("bad", *GOOD)
    proxy.rewrite = with_bad_entry(time)
    bob = client(server, proxy, tmp_path)
    watch = EventRecorder(bob, ConversationSyncFailed)
    if online:
        await bob.login()
    else:
        async with client(server, proxy, tmp_path):
            pass
    async with server.client("bad") as bad, server.client("good-1") as good:
        for n in (1, 2, 3):
            await bad.c2c("bob").send(f"bad {n}")
            await good.c2c("bob").send(f"good-1 {n}")
    if not online:
        async with asyncio.timeout(TIMEOUT_S):
            await bob.login()
    await watch.wait_for_message(lambda m: m.text == "bad 3")
    await watch.wait_for_message(lambda m: m.text == "good-1 3")
    assert texts_of(watch.messages, "bad") == ["bad 1", "bad 3"]
    failed = await watch.wait_for_event(ConversationSyncFailed)
    assert (failed.conversation, failed.missing) == (bob.c2c("bad").key, (2,))
    assert bob.c2c("bad").sync_error is not None
    assert (await bob.c2c("bad").coverage()).gaps == ((2, 2),)
    await watch.wait_for_event(ConversationSyncFailed, lambda e: e.attempts == 3)
    proxy.rewrite = lambda frame, request: frame
    await watch.wait_for_message(lambda m: m.text == "bad 2")
    assert sorted(texts_of(watch.messages, "bad")) == ["bad 1", "bad 2", "bad 3"]
    assert [m.text for m in await bob.c2c("bad").get_messages(5)] == ["bad 3", "bad 2", "bad 1"]
    assert (await bob.c2c("bad").coverage()).complete
    await bob.close()


@pytest.mark.requirement("P13")
@pytest.mark.parametrize(
    "body, kinds",
    [
        ([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "a"}}, {"MsgType": "TIMTextElem", "MsgContent": 5}], "a?"),
        ([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "a"}}, {"MsgType": 5}, 7], "a??"),
        ({"no": "array"}, "?"),
    ],
)
async def test_an_elem_that_cannot_be_decoded_is_an_unknown_elem(
    server: RunningServer, proxy: RewritingProxy, tmp_path: Path, body: object, kinds: str
) -> None:
    await missed_messages(server, proxy, tmp_path, count=2)

    def spoil(frame: Frame, request: Frame | None) -> Frame | None:
        for entry in frame["body"].get("MsgList", ()):
            if entry.get("From_Account") == "bad":
                entry["MsgBody"] = body
        return frame

    proxy.rewrite = spoil
    bob = client(server, proxy, tmp_path)
    watch = EventRecorder(bob)
    async with bob:
        messages = [m for m in await watch.wait_for_messages(8) if m.sender == "bad"]
        assert len(messages) == 2
        for message in messages:
            assert "".join("?" if isinstance(elem, UnknownElem) else elem.push_text for elem in message) == kinds


@pytest.mark.requirement("P13")
@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "unanswered"])
async def test_a_login_returns_when_the_conversation_list_fails(
    server: RunningServer, proxy: RewritingProxy, tmp_path: Path, refuses: bool
) -> None:
    await missed_messages(server, proxy, tmp_path)

    def without_list(frame: Frame, request: Frame | None) -> Frame | None:
        if request is None or request["head"]["servcmd"] != "recentcontact.page_get":
            return frame
        return refused(frame) if refuses else None

    proxy.rewrite = without_list
    bob = client(server, proxy, tmp_path)
    watch = EventRecorder(bob, ConversationSyncFailed)
    async with asyncio.timeout(TIMEOUT_S):
        await bob.login()
    assert (await watch.wait_for_event(ConversationSyncFailed)).conversation is None
    async with server.client("good-1") as good:  # missed messages come with the next one
        await good.c2c("bob").send("good-1 4")
    await watch.wait_for_message(lambda m: m.text == "good-1 4")
    assert texts_of(watch.messages, "good-1") == [f"good-1 {n}" for n in (1, 2, 3, 4)]
    proxy.rewrite = lambda frame, request: frame
    await watch.wait_for_messages(13)
    for user in ("bad", "good-2"):
        assert texts_of(watch.messages, user) == [f"{user} {n}" for n in (1, 2, 3)]
    await bob.close()


@pytest.mark.requirement("P13")
async def test_a_client_whose_sync_stops_at_the_first_failure_is_detected(
    server: RunningServer, proxy: RewritingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: a failure of one conversation is a failure of the sync."""
    for module in ("sync", "inbox", "session"):
        monkeypatch.setattr(f"timim.engine.{module}.concerns_one_conversation", lambda error: False)
    await missed_messages(server, proxy, tmp_path)
    proxy.rewrite = refusing
    bob = client(server, proxy, tmp_path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(TIMEOUT_S):
            await bob.login()
    await bob.close()


@pytest.mark.requirement("P13")
async def test_a_client_that_forgets_failures_at_a_login_is_detected(
    server: RunningServer, proxy: RewritingProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: it does not read the failures of earlier logins, so that pauses begin anew."""

    async def forget(self: sync_failures.SyncFailures) -> None:
        """Read nothing."""

    monkeypatch.setattr(sync_failures.SyncFailures, "load", forget)
    await missed_messages(server, proxy, tmp_path)
    proxy.rewrite = refusing
    async with client(server, proxy, tmp_path) as bob:
        watch = EventRecorder(bob, ConversationSyncFailed)
        await watch.wait_for_event(ConversationSyncFailed, lambda e: e.attempts == 2)
    bob = client(server, proxy, tmp_path)
    later = EventRecorder(bob, ConversationSyncFailed)
    async with bob:
        attempts = [event.attempts for event in later.events if isinstance(event, ConversationSyncFailed)]
    assert max(attempts, default=0) <= 1  # the third attempt is reported as the first one, or never made
