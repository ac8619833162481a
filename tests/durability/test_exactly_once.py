"""R4: the same msg_id is the same message for ever. A machine of retries, restarts and days, with the mutants it catches."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from timim import MsgIdConflict
from timim.server.bus.base import Event
from timim.server.bus.local import LocalBus
from timim.server.messaging.admission import Admission
from timim.server.messaging.history import Pages
from timim.server.messaging.posting import Timelines
from timim.server.messaging.validation import Draft, DraftRules
from timim.server.metrics import Metrics
from timim.server.social.entity_cache import Directory
from timim.server.store.base import Appended, NewEntry
from timim.server.store.sqlite import SqliteStore

T = TypeVar("T")
DAY_S = 86_400
USERS = ("alice", "bob")


class ExactlyOnce(RuleBasedStateMachine):
    """Posts through the server's own walk, and a model that is a dictionary."""

    store_class: type[SqliteStore] = SqliteStore

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1_700_000_000.0
        self.posted: list[tuple[Draft, str, int]] = []
        self.published: list[Event] = []

    def do(self, work: Coroutine[None, None, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        self.store = self.store_class(Path(self.folder.name) / "s.db", synchronous="OFF")  # no power is cut here
        self.do(self.store.open())
        directory, bus = Directory(self.store), LocalBus()
        bus.subscribe(self.published.append)
        metrics = Metrics(sessions=lambda: 0)
        admission = Admission(metrics, now=lambda: self.now)
        self.timelines = Timelines(self.store, bus, directory, metrics, DraftRules(12_000), admission, now=lambda: self.now)
        self.pages = Pages(self.store, directory)
        for user in USERS:
            self.do(directory.ensure_account(user))

    @rule(sender=st.sampled_from(USERS), number=st.integers(1, 2**32 - 1), text=st.text("ab", max_size=2))
    def post(self, sender: str, number: int, text: str) -> None:
        receiver = USERS[1 - USERS.index(sender)]
        if any((d.sender, d.random, d.client_time) == (sender, number, int(self.now)) for d, _, _ in self.posted):
            return
        body = msgspec.Raw(msgspec.json.encode([{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]))
        draft = Draft(sender, body, number, number, int(self.now))
        posted = self.do(self.timelines.post_c2c(draft, receiver))
        assert posted.seq == len(self.posted) + 1
        self.posted.append((draft, receiver, posted.seq))

    @precondition(lambda self: self.posted)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        draft, receiver, seq = data.draw(st.sampled_from(self.posted))
        told = len(self.published)
        assert self.do(self.timelines.post_c2c(draft, receiver)).seq == seq
        assert len(self.published) == told

    @precondition(lambda self: self.posted)
    @rule(data=st.data())
    def same_id_for_another_message(self, data: st.DataObject) -> None:
        draft, receiver, _ = data.draw(st.sampled_from(self.posted))
        other = replace(draft, msg_body=msgspec.Raw(b'[{"MsgType":"TIMCustomElem","MsgContent":{"Data":"other"}}]'))
        with pytest.raises(MsgIdConflict):
            self.do(self.timelines.post_c2c(other, receiver))

    @rule(days=st.integers(1, 400))
    def wait(self, days: int) -> None:
        self.now += days * DAY_S

    @rule()
    def restart(self) -> None:
        self.do(self.store.close())
        self.open()

    @invariant()
    def every_message_stands_once_in_its_place(self) -> None:
        if not hasattr(self, "store"):
            return
        page = self.do(self.pages.c2c("alice", "bob", 1, 1 << 62, 1000))
        bodies = [msgspec.json.decode(raw)["MsgBody"] for raw in reversed(page.entries)]
        assert bodies == [msgspec.json.decode(draft.msg_body) for draft, _, _ in self.posted]
        assert page.last_seq == len(self.posted)
        assert len(self.published) == len(self.posted)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.do(self.store.close())
        self.runner.close()
        self.folder.cleanup()


class ForgetsIds(SqliteStore):
    """Knows no resend."""

    async def append(self, entry: NewEntry) -> Appended:
        return await super().append(replace(entry, msg_key=None))


class ForgetsBodies(SqliteStore):
    """Takes another body for a resend."""

    async def append(self, entry: NewEntry) -> Appended:
        return await super().append(replace(entry, fingerprint=b""))


TestTheSameMsgIdIsTheSameMessageForEver = pytest.mark.requirement("R4")(ExactlyOnce.TestCase)
TestTheSameMsgIdIsTheSameMessageForEver.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("mutant", [ForgetsIds, ForgetsBodies])
@pytest.mark.requirement("R4")
def test_a_store_that_forgets_is_detected(mutant: type[SqliteStore]) -> None:
    class Mutant(ExactlyOnce):
        store_class = mutant

    found_out: list[BaseException] = []
    try:
        run_state_machine_as_test(
            Mutant, settings=settings(max_examples=300, derandomize=True, deadline=None, print_blob=False)
        )
    except BaseExceptionGroup as group:
        found_out += group.exceptions
    except (AssertionError, pytest.fail.Exception) as exc:
        found_out.append(exc)
    assert found_out
