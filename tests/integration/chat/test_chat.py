"""The terminal chat against a real server: every test presses keys and reads the screen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.chat_driver import chat
from tests.support.paths import MEDIA
from tests.support.users import Users
from timim import (
    ALL,
    AuthError,
    Client,
    Conversation,
    FileElem,
    ImageElem,
    TypingChanged,
)
from timim.cli.tui.message_list import MessageList
from timim.testing import EventRecorder

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMIT_S = 20


class Pair:
    """Alice, who chats in the terminal, and bob, who has a client."""

    def __init__(self, users: Users, bob: Client, data_dir: str | Path = ":memory:") -> None:
        self.alice_id, self.bob_id = users.id("alice"), users.id("bob")
        self.bob = bob
        self.client = users.server.client(self.alice_id, data_dir=data_dir)
        self.from_bob: Conversation = bob.c2c(self.alice_id)
        self.with_bob = self.client.c2c(self.bob_id).key


async def pair(users: Users) -> Pair:
    await users.server.add_users(users.id("alice"))
    return Pair(users, await users.login("bob"))


async def pair_with_history(users: Users, folder: Path) -> Pair:
    """Return a pair after 120 messages, which alice's device has synced."""
    two = await pair(users)
    texts = ["the needle" if number == 20 else f"number {number}" for number in range(1, 121)]
    await asyncio.gather(*(two.from_bob.send(text) for text in texts))
    async with users.server.client(two.alice_id, data_dir=folder) as alice:
        await alice.c2c(two.bob_id).fetch_missing()
    return Pair(users, two.bob, folder)


async def test_messages_are_sent_received_and_counted(users: Users) -> None:
    two, carol = await pair(users), await users.login("carol")
    await carol.c2c(two.alice_id).send("from carol")
    async with chat(two.client, two.with_bob) as alice:
        await alice.sees("online", f"{users.id('carol')} (1)", "1 unread")
        received = two.from_bob.wait_for(lambda message: message.text == "hi\nthere", timeout=LIMIT_S)
        await alice.press(*"hi", "ctrl+j", *"there", "enter")
        await received
        await alice.sees(" ✓  ")
        await two.from_bob.mark_read()
        await alice.sees(" ✓✓ ")
        answer = await two.from_bob.send("an answer")
        await alice.sees(f"{two.bob_id}: an answer")
        await alice.until(lambda: answer.read_by_peer)
        await alice.go("conversations", "f2")
        await alice.press("down", "enter")
        await alice.sees(f"{users.id('carol')}: from carol")
        await alice.sees_no("unread")


async def test_older_messages_load_above_while_the_view_keeps_its_place(users: Users, tmp_path: Path) -> None:
    two = await pair_with_history(users, tmp_path)
    async with chat(two.client, two.with_bob) as alice:
        await alice.sees("online", "number 120")
        await alice.go("messages", "up")
        await alice.press("home")
        messages = alice.app.screen.query_one(MessageList)
        await alice.until(lambda: messages.virtual_size.height > 90)
        assert "number 71" in alice.lines[3]  # as before the page was added, below the gap and the day
        await alice.press("up")
        for _ in range(5):
            await alice.press("home")
        await alice.sees("beginning of the conversation")
        assert ["number 1" in line for line in alice.lines[:5]] == [False, True, False, True, False]


async def test_texts_of_users_neither_style_nor_control_the_screen(users: Users) -> None:
    two = await pair(users)
    await two.from_bob.send("[bold red]x[/] [@click=app.quit]y[/]")
    await two.from_bob.send("\x1b]0;title\x07\x1b[2Jabc\u202egpj.exe")
    async with chat(two.client, two.with_bob) as alice:
        await alice.sees("[bold red]x[/] [@click=app.quit]y[/]")
        await alice.sees("␛]0;title␇␛[2Jabc�gpj.exe")
        assert not {"\x1b", "\x07", "\u202e"} & set(alice.text)


async def test_a_refused_message_shows_why_and_can_be_sent_again(users: Users) -> None:
    late = users.id("late")
    client = users.server.client(users.id("alice"))
    async with chat(client, client.c2c(late).key) as alice:
        await alice.sees("online")
        await alice.type("hello", "enter")
        await alice.sees(" ✗  ", "no account")
        await users.server.add_users(late)
        await alice.go("messages", "up")
        await alice.press("f")
        await alice.sees(" ✓  ")
        await alice.press("f")
        await alice.sees("only a message that failed")


async def test_both_sides_see_who_is_typing(users: Users) -> None:
    two = await pair(users)
    at_bob = EventRecorder(two.bob, TypingChanged)
    async with chat(two.client, two.with_bob) as alice:
        await alice.sees("online")
        await alice.press("h")
        await at_bob.wait_for_event(TypingChanged, lambda event: event.active)
        await alice.press("enter")
        await at_bob.wait_for_event(TypingChanged, lambda event: not event.active)
        await two.from_bob.send_typing()
        await alice.sees(f"{two.bob_id} is typing…")
        await two.from_bob.send_typing(active=False)
        await alice.sees_no("is typing")


async def test_replies_and_reactions_are_of_the_selected_message(users: Users) -> None:
    two = await pair(users)
    first, second = await two.from_bob.send("first"), await two.from_bob.send("second")
    async with chat(two.client, two.with_bob) as alice:
        await alice.sees("second")
        await alice.go("messages", "up")
        await alice.go("composer", "up", "r")
        await alice.sees("↩ ")
        await alice.press("escape")
        await alice.sees_no("↩ ")
        await alice.go("messages", "up")
        await alice.go("composer", "up", "r")
        reply = two.from_bob.wait_for(lambda message: message.text == "yes", timeout=LIMIT_S)
        await alice.type("yes", "enter")
        quoted = (await reply).reply_to
        assert quoted is not None
        assert quoted.seq == first.seq
        await alice.sees("┃ ")
        await alice.go("messages", "up")
        await alice.press("up", "e")
        await alice.sees("React with a number")
        await alice.press("1", "enter")
        await alice.until(lambda: second.reactions == {"👍": (two.alice_id,)})
        await alice.sees(f"👍 {two.alice_id}")
        await alice.press("e")
        await alice.sees("React with a number")
        await alice.press("1", "enter")
        await alice.until(lambda: not second.reactions)
        await first.edit("first, edited")
        await second.recall()
        await alice.sees("first, edited (edited)", "recalled this message")


async def test_files_and_pictures_are_sent_by_path_and_saved(users: Users, tmp_path: Path) -> None:
    two = await pair(users)
    note = tmp_path / "a note.txt"
    note.write_text("hello")
    async with chat(two.client, two.with_bob) as alice:
        await alice.sees("online")
        file = two.from_bob.wait_for(lambda message: isinstance(message[0], FileElem), timeout=LIMIT_S)
        await alice.type(f"/file {note}", "enter")
        assert "a note.txt" in repr(await file) or (await file).elems[0] is not None
        picture = two.from_bob.wait_for(lambda message: isinstance(message[0], ImageElem), timeout=LIMIT_S)
        await alice.type(f"/image {MEDIA / 'rocket.jpg'}", "enter")
        await picture
        await alice.sees("[file a note.txt, 5 B]", "[picture 640×427, 110 KB]")
        await alice.type("/image /nowhere.jpg", "enter")
        await alice.sees(" ✗  ", "there is no file /nowhere.jpg")
        await alice.type("/nonsense", "enter")
        await alice.sees("no such command")
        await alice.go("messages", "up")
        await alice.press("up", "up", "s")
        await alice.sees("in this folder")
        await alice.type(str(tmp_path / "saved"), "enter")
        await alice.sees("saved ")
        assert (tmp_path / "saved" / "a note.txt").read_text() == "hello"


async def test_a_found_message_is_shown_among_its_neighbours(users: Users, tmp_path: Path) -> None:
    two = await pair_with_history(users, tmp_path)
    async with chat(two.client, two.with_bob) as alice:
        await alice.sees("number 120")
        await alice.press("ctrl+f")
        await alice.type("needle", "enter")
        await alice.sees("1 found; all messages were searched", "the needle")
        await alice.press("enter")
        await alice.sees("number 19", "the needle", "number 21")
        await two.from_bob.send("a new one")
        for _ in range(40):
            if "a new one" in alice.text:
                break
            await alice.press("end")
        await alice.sees("number 120", "a new one")
        assert "may be" not in alice.text


async def test_a_wrong_signature_ends_the_chat_with_its_reason(users: Users) -> None:
    wrong = users.server.client(users.id("alice"), user_sig=users.server.client(users.id("eve"))._user_sig)
    async with chat(wrong) as alice:
        await alice.until(lambda: alice.app.return_value is not None)
        assert isinstance(alice.app.return_value, AuthError)


async def test_the_text_of_the_input_stays_as_the_draft(users: Users) -> None:
    two = await pair(users)
    await two.from_bob.send("hello")
    async with chat(two.client, two.with_bob) as alice:
        await alice.sees("online")
        await alice.type("not yet")
        await alice.press("ctrl+q")
        await alice.until(lambda: not alice.app.is_running)
    async with chat(users.server.client(two.alice_id), two.with_bob) as alice:
        await alice.sees("draft: not yet", " not yet\n")
        await alice.press("enter")
        await alice.sees_no("draft:")


async def test_a_narrow_terminal_shows_the_list_or_the_conversation(users: Users) -> None:
    two = await pair(users)
    await two.from_bob.send("hello")
    async with chat(two.client, size=(40, 12)) as alice:
        await alice.sees(f"{two.bob_id} (1)")
        await alice.press("enter")
        await alice.sees(f"{two.bob_id}: hello")
        assert "│" not in alice.text
        await alice.press("f2")
        await alice.sees_no(f"{two.bob_id}: hello")
        await alice.resize(100, 30)
        await alice.sees("│", f"{two.bob_id}: hello")


async def test_a_conversation_opens_by_the_id_of_a_user_or_a_group(users: Users) -> None:
    two = await pair(users)
    group = await two.bob.groups.create("Public", name="team", members=[two.alice_id])
    async with chat(two.client) as alice:
        await alice.sees("online", "#")
        await alice.press("ctrl+n")
        await alice.type(f"#{group.id}", "enter")
        mentioned = group.conversation.wait_for(lambda message: message.text == "hi team", timeout=LIMIT_S)
        await alice.type("hi team", "enter")
        await mentioned
        await alice.press("ctrl+n")
        await alice.type("x" * 99, "enter")
        await alice.sees("at most 32 bytes")
        await alice.press("ctrl+n")
        await alice.type(two.bob_id, "enter")
        await group.conversation.send("look", mention=[ALL])
        await alice.sees("(1) @")


async def test_after_too_many_events_the_newest_messages_are_loaded(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    two = await pair(users)
    async with chat(two.client, two.with_bob) as alice:
        await alice.sees("online")
        monkeypatch.setattr("timim.engine.listeners.STREAM_LIMIT", 1)
        await asyncio.gather(*(two.from_bob.send(f"number {number}") for number in range(1, 31)))
        await alice.sees("number 29", "number 30")
        await two.from_bob.send("after the overflow")
        await alice.sees("after the overflow")
        assert "┄" not in alice.text
