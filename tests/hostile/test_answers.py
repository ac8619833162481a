"""No answer of a server keeps a login from returning, others' messages from arriving, or a message from being sent."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.request_fields import NUMBERS, OTHERS, Json, fields_of, with_value
from tests.support.rewriting_proxy import Frame, RewritingProxy, refused, rewriting_proxy
from timim import Client, ConversationSyncFailed, sign_user
from timim.engine import fetcher, sync_failures
from timim.protocol.entries import Entry
from timim.testing import EventRecorder, RunningServer

LOGIN_S = 8.0  # a login that does not return by then never would; the limits below are much shorter
HUGE = 1 << 61
_scenes = itertools.count()
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_failures, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(sync_failures, "ATTEMPT_LIMIT_S", 0.5)
    monkeypatch.setattr(fetcher, "EMPTY_LIMIT", 20)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(shared_server: RunningServer) -> AsyncIterator[RewritingProxy]:
    async with rewriting_proxy(shared_server.url) as running:
        yield running


class Scene:
    """A user "bob" behind the proxy, with a synced device, who has missed messages of "bad" and of two good users."""

    def __init__(self, server: RunningServer, proxy: RewritingProxy, folder: Path) -> None:
        self.server, self.proxy, self._folder = server, proxy, folder
        number = next(_scenes)
        self.bob, self.bad, self.good = f"bob-{number}", f"bad-{number}", (f"good-1-{number}", f"good-2-{number}")

    def client(self) -> Client:
        signature = sign_user(self.server.app_id, self.server.secret_key, self.bob)
        options: dict[str, Any] = {"app_id": self.server.app_id, "user_sig": signature, "timeout": 2}
        return Client(self.proxy.url, user_id=self.bob, data_dir=self._folder, **options)

    async def set_up(self, count: int = 2) -> None:
        self.proxy.rewrite = lambda frame, request: frame
        async with self.client():
            pass
        for user in (self.bad, *self.good):
            async with self.server.client(user) as sender:
                for n in range(count if user == self.bad else 2):
                    await sender.c2c(self.bob).send(f"{user} {n}")

    async def check_login(self, *, limit_s: float = LOGIN_S) -> None:
        """Check that bob logs in, gets the messages of the good users, and can send."""
        bob = self.client()
        watch = EventRecorder(bob, ConversationSyncFailed)
        try:
            async with asyncio.timeout(limit_s):
                await bob.login()
                async with self.server.client(self.good[0]) as good:
                    await good.c2c(self.bob).send("live")
                for text in ("live", *(f"{user} {n}" for user in self.good for n in range(2))):
                    await watch.wait_for_message(lambda m, text=text: m.text == text)  # type: ignore[misc]
                await bob.c2c(self.good[0]).send("an answer")
                await bob.c2c(self.bad).send("an answer")
        finally:
            await bob.close()


@pytest_asyncio.fixture(loop_scope="module")
async def scene(shared_server: RunningServer, proxy: RewritingProxy, tmp_path: Path) -> Scene:
    made = Scene(shared_server, proxy, tmp_path)
    await made.set_up()
    return made


def is_history_of_bad(request: Frame | None) -> bool:
    return request is not None and request["body"].get("Peer_Account", "").startswith("bad")


Fault = Callable[[Frame, Frame | None], Frame | None]


def to_history(answer: Callable[[Frame, int, int], None], last_seq: int = HUGE) -> Fault:
    """Return a fault that answers each request for the history of "bad"; its last seq in the list is `last_seq`."""

    def rewrite(frame: Frame, request: Frame | None) -> Frame | None:
        for item in frame["body"].get("SessionItem", ()):
            if item.get("To_Account", "").startswith("bad"):
                item["TimelineLastSeq"] = last_seq
        if is_history_of_bad(request):
            assert request is not None
            first, last = request["body"]["TimelineRange"]
            frame["body"] = {"ActionStatus": "OK", "ErrorCode": 0, "TimelineFloor": 1, "TimelineLastSeq": last_seq}
            answer(frame["body"], first, last)
        return frame

    return rewrite


def entry(seq: int) -> dict[str, Any]:
    body = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": f"endless {seq}"}}]
    return {"TimelineSeq": seq, "From_Account": "bad", "MsgTimeStamp": 1, "MsgRandom": 1, "MsgBody": body}


def endless(body: Frame, first: int, last: int) -> None:
    body |= {"TimelineRange": [first, last], "MsgList": [entry(seq) for seq in range(last, first - 1, -1)]}


def deleted(body: Frame, first: int, last: int) -> None:
    gone = [{"TimelineSeq": seq, "TimelineTombstone": 1} for seq in range(last, first - 1, -1)]
    body |= {"TimelineRange": [first, last], "MsgList": gone}


def empty(body: Frame, first: int, last: int) -> None:
    body |= {"TimelineRange": [1, 0], "MsgList": []}


def creeping(body: Frame, first: int, last: int) -> None:
    body |= {"TimelineRange": [1, 0], "MsgList": [], "TimelineFloor": first + 1}


def another_range(body: Frame, first: int, last: int) -> None:
    body |= {"TimelineRange": [last + 1, last + 1], "MsgList": [entry(last + 1)]}


def same_page(body: Frame, first: int, last: int) -> None:
    body |= {"TimelineRange": [1, 1], "MsgList": [entry(1)]}


def one_by_one(body: Frame, first: int, last: int) -> None:
    body |= {"TimelineRange": [last, last], "MsgList": [entry(last)]}


def enormous(body: Frame, first: int, last: int) -> None:
    body |= {"TimelineRange": [1, HUGE], "MsgList": []}


def out_of_range(body: Frame, first: int, last: int) -> None:
    body |= {"TimelineRange": [1, 10**30], "TimelineFloor": 10**30, "TimelineLastSeq": 1 << 63, "MsgList": []}


def list_without_end(frame: Frame, request: Frame | None) -> Frame | None:
    if request is not None and request["head"]["servcmd"] == "recentcontact.page_get":
        start = request["body"].get("StartIndex", 0)
        frame["body"] |= {"CompleteFlag": 0, "StartIndex": start + 1}
    return frame


def empty_list_without_end(frame: Frame, request: Frame | None) -> Frame | None:
    if request is not None and request["head"]["servcmd"] == "recentcontact.page_get":
        frame["body"] |= {"CompleteFlag": 0, "StartIndex": request["body"].get("StartIndex", 0) + 1, "SessionItem": []}
    return frame


def refusing(code: int) -> Fault:
    def rewrite(frame: Frame, request: Frame | None) -> Frame | None:
        return refused(frame, code) if is_history_of_bad(request) else frame

    return rewrite


FAULTS: dict[str, Fault] = {
    one.__name__: to_history(one)
    for one in (endless, deleted, empty, creeping, another_range, same_page, one_by_one, enormous, out_of_range)
}
FAULTS |= {
    "a last seq out of range": to_history(endless, 10**30),
    "a list without end": list_without_end,
    **{f"code {code}": refusing(code) for code in (6014, 9508, 70001, 70003, 60002, -(1 << 70))},
}


@pytest.mark.requirement("H23")
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_answer_about_one_conversation_stops_a_login(scene: Scene, fault: str) -> None:
    scene.proxy.rewrite = FAULTS[fault]
    await scene.check_login()


@pytest.mark.requirement("H23")
async def test_a_client_without_a_limit_of_an_attempt_is_detected(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: a conversation that does not end is fetched to its end."""
    monkeypatch.setattr(sync_failures, "ATTEMPT_LIMIT_S", 3600.0)
    scene.proxy.rewrite = FAULTS["endless"]
    with pytest.raises(TimeoutError):
        await scene.check_login(limit_s=1.5)


@pytest.mark.requirement("H23")
async def test_a_login_returns_when_the_list_does_not_end(scene: Scene) -> None:
    scene.proxy.rewrite = empty_list_without_end
    async with asyncio.timeout(LOGIN_S), scene.client() as bob:
        watch = EventRecorder(bob)
        async with scene.server.client(scene.good[0]) as good:
            await good.c2c(scene.bob).send("live")
        await watch.wait_for_message(lambda m: m.text == "live")


@cache
def odd_entries() -> list[Json]:
    """Return entries, each with an odd value of one field."""
    found: list[Json] = []
    for field in fields_of(Entry):
        for value in (*NUMBERS, *OTHERS):
            odd = with_value(entry(len(found) + 1), field.path, value)
            if field.path != ("TimelineSeq",):  # the fetcher compares it
                found.append(odd)
    return found


def with_odd_pages(frame: Frame, request: Frame | None) -> Frame | None:
    odd = odd_entries()

    def page(body: Frame, first: int, last: int) -> None:
        first = max(first, last - 199)
        body |= {"TimelineRange": [first, last], "MsgList": odd[first - 1 : last][::-1]}

    return to_history(page, len(odd))(frame, request)


def with_odd_pushes(frame: Frame, request: Frame | None) -> Frame | None:
    for event in frame["body"].get("EventArray", ()):
        if event["Event"] == 9 and any("live" in str(e) for e in event["C2cMsgArray"]):
            odd = odd_entries()
            frame["body"]["EventArray"] += [{"Event": 9, "C2cMsgArray": odd[n : n + 20]} for n in range(0, len(odd), 20)]
            break
    return frame


def with_odd_last_message(frame: Frame, request: Frame | None) -> Frame | None:
    for item in frame["body"].get("SessionItem", ()):
        if item.get("To_Account", "").startswith("bad"):
            item["TimelineMessage"] |= {"MsgSeq": 1 << 63, "MsgRandom": 10**30, "MsgLifeTime": -(1 << 70)}
    return frame


@pytest.mark.requirement("H23", "H42")
@pytest.mark.parametrize("fault", [with_odd_pages, with_odd_pushes, with_odd_last_message])
async def test_no_entry_of_one_conversation_stops_a_login(scene: Scene, fault: Fault) -> None:
    scene.proxy.rewrite = fault
    await scene.check_login()
