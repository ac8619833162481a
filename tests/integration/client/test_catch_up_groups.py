"""Tests of the messages that were sent in groups while a client was away: all of them, or the last one of each group."""

from __future__ import annotations

from pathlib import Path

import pytest

from timim import Message
from timim.engine.sync import Sync
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SAID = [f"away {n}" for n in range(5)]


async def delivered(server: RunningServer, folder: Path, *, handler: bool, catch_up_groups: bool | None = None) -> list[str]:
    """Return the texts of a group that a client delivers after it was away, to its handler or else as events."""
    name = folder.name
    async with server.client(f"alice-{name}") as alice, server.client(f"bot-{name}", data_dir=folder) as bot:
        watch = EventRecorder(bot)
        group = (await alice.groups.create("Public", name="team", members=[bot.user_id])).conversation
        await group.send("seen")
        await watch.wait_for_message(lambda message: message.text == "seen")
        await bot.close()
        for text in SAID:
            await group.send(text)
        again = server.client(bot.user_id, data_dir=folder, catch_up_groups=catch_up_groups)
        texts: list[str] = []

        async def note(messages: list[Message]) -> None:
            texts.extend(message.text for message in messages)

        async def note_one(message: Message) -> None:
            texts.append(message.text)

        if handler:
            again.on_message(note_one)
        else:
            again.on_new_message(note)
        async with again:
            later = EventRecorder(again)
            await group.send("end")
            await later.wait_for_message(lambda message: message.text == "end")
            assert (await again.group(group.peer).coverage()).complete is (len(texts) > 2)
    return [text for text in texts if text != "end"]


async def test_handlers_of_single_messages_get_all_that_was_sent_in_groups(
    shared_server: RunningServer, tmp_path: Path
) -> None:
    assert await delivered(shared_server, tmp_path / "bot", handler=True) == SAID
    assert await delivered(shared_server, tmp_path / "chosen", handler=False, catch_up_groups=True) == SAID


@pytest.mark.requirement("F28")
async def test_other_clients_get_the_last_message_of_each_group(shared_server: RunningServer, tmp_path: Path) -> None:
    assert await delivered(shared_server, tmp_path / "phone", handler=False) == SAID[-1:]
    assert await delivered(shared_server, tmp_path / "refused", handler=True, catch_up_groups=False) == SAID[-1:]


async def test_a_sync_that_skips_messages_of_groups_is_detected(
    shared_server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sync, "_follows", lambda self, key: key in self._ingest.delivered_seqs)
    assert await delivered(shared_server, tmp_path / "mutant", handler=True) == SAID[-1:]
