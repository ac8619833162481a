"""Tests of R4: the same msg_id is the same message, without a time limit. A state machine of retries, restarts and days."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from timim import MsgIdConflict
from timim.ids import ConversationKey, ConversationType
from timim.server.bus.base import Event
from timim.server.bus.local import LocalBus
from timim.server.integrations.service import Integrations
from timim.server.messaging.admission import Admission, MessageRules
from timim.server.messaging.history import HistoryReader
from timim.server.messaging.posting import MessagePoster
from timim.server.messaging.validation import MessageValidator, OutgoingMessage
from timim.server.metrics import Metrics
from timim.server.settings import Settings
from timim.server.social.entity_cache import EntityCache
from timim.server.store.base import Appended, NewEntry
from timim.server.store.operation import SqlEngine
from timim.server.store.sqlite import SqliteStore
from timim.server.store.timelines import TimelineStore

T = TypeVar("T")
SETTINGS = Settings(data_dir=None)
DAY_S = 86_400
USERS = ("alice", "bob")


def to(user: str) -> ConversationKey:
    return ConversationKey(ConversationType.C2C, user)


class ExactlyOnce(RuleBasedStateMachine):
    """A state machine that posts through the server's own code, and compares the history with a list of the posted messages."""

    store_class: type[SqliteStore] = SqliteStore

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1_700_000_000.0
        self.posted: list[tuple[OutgoingMessage, str, int]] = []
        self.published: list[Event] = []

    def do(self, work: Coroutine[None, None, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        # no power cut happens here, so the commits need no sync
        self.store = self.store_class(Path(self.folder.name) / "s.db", synchronous="OFF")
        self.do(self.store.open())
        directory, bus = EntityCache(self.store, LocalBus()), LocalBus()
        bus.subscribe(self.published.append)
        metrics = Metrics()
        admission = Admission(metrics, now=lambda: self.now)
        rules = MessageRules(MessageValidator(12_000), admission)
        integrations = Integrations(SETTINGS, self.store, directory, bus, app_id=1, now=lambda: self.now)
        self.timelines = MessagePoster(self.store, bus, directory, rules, integrations, metrics, now=lambda: self.now)
        self.pages = HistoryReader(self.store, directory, now=lambda: 0.0)
        for user in USERS:
            self.do(directory.ensure_account(user))

    @rule(sender=st.sampled_from(USERS), number=st.integers(1, 2**32 - 1), text=st.text("ab", max_size=2))
    def post(self, sender: str, number: int, text: str) -> None:
        receiver = USERS[1 - USERS.index(sender)]
        if any((d.sender, d.random, d.client_time) == (sender, number, int(self.now)) for d, _, _ in self.posted):
            return
        body = msgspec.Raw(msgspec.json.encode([{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]))
        draft = OutgoingMessage(sender, body, number, number, int(self.now))
        posted = self.do(self.timelines.post(draft, to(receiver)))
        assert posted.seq == len(self.posted) + 1
        self.posted.append((draft, receiver, posted.seq))

    @precondition(lambda self: self.posted)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        draft, receiver, seq = data.draw(st.sampled_from(self.posted))
        told = len(self.published)
        assert self.do(self.timelines.post(draft, to(receiver))).seq == seq
        assert len(self.published) == told

    @precondition(lambda self: self.posted)
    @rule(data=st.data())
    def same_id_for_another_message(self, data: st.DataObject) -> None:
        draft, receiver, _ = data.draw(st.sampled_from(self.posted))
        other = replace(draft, msg_body=msgspec.Raw(b'[{"MsgType":"TIMCustomElem","MsgContent":{"Data":"other"}}]'))
        with pytest.raises(MsgIdConflict):
            self.do(self.timelines.post(other, to(receiver)))

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
        page = self.do(self.pages.page("alice", to("bob"), 1, 1 << 62, 1000))
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
    """A mutant that does not recognise a resend."""

    def __init__(self, path: Path | None, *, synchronous: str) -> None:
        super().__init__(path, synchronous=synchronous)
        self.timelines = Changing(self.engine, msg_key=None)


class ForgetsBodies(SqliteStore):
    """A mutant that accepts another body under the msg_id of a stored message."""

    def __init__(self, path: Path | None, *, synchronous: str) -> None:
        super().__init__(path, synchronous=synchronous)
        self.timelines = Changing(self.engine, fingerprint=b"")


class Changing(TimelineStore):
    """Timelines that change each entry before they store it."""

    def __init__(self, engine: SqlEngine, **changed: object) -> None:
        super().__init__(engine)
        self._changed = changed

    async def append(self, entry: NewEntry) -> Appended:
        return await super().append(replace(entry, **self._changed))


TestTheSameMsgIdIsTheSameMessageForEver = pytest.mark.requirement("R4")(ExactlyOnce.TestCase)
TestTheSameMsgIdIsTheSameMessageForEver.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("mutant", [ForgetsIds, ForgetsBodies])
@pytest.mark.requirement("R4")
def test_a_store_that_forgets_is_detected(mutant: type[SqliteStore]) -> None:
    class Mutant(ExactlyOnce):
        store_class = mutant

    enough = settings(
        max_examples=300,
        derandomize=True,
        deadline=None,
        database=None,
        print_blob=False,
        phases=[Phase.generate],  # the first failure is enough: the smallest sequence is not needed
    )
    found_out: list[BaseException] = []
    try:
        run_state_machine_as_test(Mutant, settings=enough)
    except BaseExceptionGroup as group:
        found_out += group.exceptions
    except (AssertionError, pytest.fail.Exception) as exc:
        found_out.append(exc)
    assert found_out
