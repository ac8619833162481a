"""Tests of history and its proof: stored messages are not requested, gaps are requested exactly, and no page hides a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

import timim
from tests.support.deployment import metrics_of
from tests.support.raw_database import in_database
from timim import AsOf, ConnectionLost, HistoryReset, Message, MessageStatus
from timim.engine import history
from timim.testing import EventRecorder, RunningServer, running_server

SAID = 450
GROUP_HISTORY = "group_open_http_svc.group_msg_get"
C2C_HISTORY = "openim.getroammsg"


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(group_messages_per_s=0) as running:
        yield running


async def asked(server: RunningServer, command: str) -> int:
    """Return how often the server has answered this command, from its metrics."""
    return int((await metrics_of(*server.urls)).get(f'timim_requests_total{{command="{command}"}}', 0))


async def said(server: RunningServer, count: int, *members: str) -> str:
    """Create a group of alice and these users with messages "1", "2", … of alice, before any of the users has a device."""
    await server.add_users(*members)
    async with server.client("alice") as alice:
        group = await alice.groups.create("Public", name="g", members=members)
        await asyncio.gather(*(group.conversation.send(str(n)) for n in range(1, count + 1)))
        return group.id


def texts(messages: Sequence[Message]) -> list[int]:
    return [int(m.text) for m in messages]


def down(first: int, last: int) -> list[int]:
    return list(range(last, first - 1, -1))


@pytest.mark.requirement("F30", "P01")
async def test_a_page_requests_exactly_the_missing_messages_and_says_so(server: RunningServer, tmp_path: Path) -> None:
    id = await said(server, SAID, "bob")
    async with server.client("bob", data_dir=tmp_path) as bob:
        group = bob.group(id)
        assert (await group.coverage()).intervals == ((SAID, SAID),)  # only the last message is stored, above a gap
        assert (await group.coverage()).gaps == ((1, SAID - 1),)
        page = await group.get_messages(20)
        assert (texts(page), page.complete, page.interval) == (down(431, 450), True, (431, 450))
        assert (page.source, page.requests, await asked(server, GROUP_HISTORY)) == ("both", 1, 1)
        again = await group.get_messages(20)
        assert (texts(again), again.source, again.requests) == (texts(page), "local", 0)
        older = await group.get_messages(20, before=again[8])  # eleven of these are stored locally
        assert (texts(older), older.requests, older.source) == (down(422, 441), 1, "both")
        assert (await group.coverage()).intervals == ((422, 450),)
        oldest = await group.get_messages(1000)  # requested in parts of 200
        assert (texts(oldest), oldest.requests, oldest.complete) == (down(1, SAID), 3, True)
        assert await asked(server, GROUP_HISTORY) == 1 + 1 + 3
        for count in (1, 20, 1000):
            assert (await group.get_messages(count)).requests == 0
            assert (await group.get_messages(count, after=oldest[-1])).requests == 0
        assert await asked(server, GROUP_HISTORY) == 5


@pytest.mark.requirement("F30")
async def test_equal_requests_at_once_are_fetched_once(server: RunningServer) -> None:
    id = await said(server, SAID, "bob", "carol")
    async with server.client("bob") as bob:
        pages = await asyncio.gather(*(bob.group(id).get_messages(100) for _ in range(10)))
        assert {tuple(texts(page)) for page in pages} == {tuple(down(351, 450))}
        assert sum(page.requests for page in pages) == 1 == await asked(server, GROUP_HISTORY)
    # without the conversation list, this device does not know the last seq either
    async with server.client("carol", recent_contacts=False) as carol:
        pages = await asyncio.gather(*(carol.group(id).get_messages(100) for _ in range(10)))
        assert {tuple(texts(page)) for page in pages} == {tuple(down(351, 450))}
        assert sum(page.requests for page in pages) == 1
        assert await asked(server, GROUP_HISTORY) == 2


@pytest.mark.requirement("F30")
async def test_a_local_page_does_not_wait_for_a_fetched_one(server: RunningServer) -> None:
    id = await said(server, SAID, "bob")
    async with server.client("bob") as bob:
        group = bob.group(id)
        await group.get_messages(20)
        stall = server.faults.stall(user="bob", direction="down")
        fetching = asyncio.create_task(group.get_messages(200))
        await stall.happened()
        async with asyncio.timeout(5):
            assert (await group.get_messages(20)).requests == 0
        assert not fetching.done()
        stall.release()
        assert len(await fetching) == 200


@pytest.mark.requirement("F29", "F30")
async def test_the_two_sides_of_a_gap_are_never_neighbours(server: RunningServer, tmp_path: Path) -> None:
    id = await said(server, SAID, "bob")
    bob = server.client("bob", data_dir=tmp_path)
    async with bob:
        group = bob.group(id)
        assert texts([m async for m in group.history(oldest_first=True, limit=10)]) == list(range(1, 11))
        assert (await group.coverage()).intervals == ((1, 100), (450, 450))
    await bob.open()  # logged out, but open for local queries
    group = bob.group(id)
    page = await group.get_messages(20)
    assert (texts(page), page.complete, page.interval, page.requests) == ([450], False, (450, 450), 0)
    for oldest_first, expected in ((False, [450]), (True, list(range(1, 101)))):
        iteration = group.history(oldest_first=oldest_first)
        assert texts([await anext(iteration) for _ in expected]) == expected
        with pytest.raises(timim.NotLoggedIn):  # the iteration does not end as if the history were whole
            await anext(iteration)
    assert texts([m async for m in group.history(oldest_first=True, limit=100)]) == list(range(1, 101))
    up = await group.get_messages(1000, after=(await group.get_local_messages(1000))[-1])
    assert (texts(up), up.complete, up.interval) == (down(2, 100), False, (2, 100))
    local = await group.get_local_messages(20)  # all stored messages; `complete` says that there is a gap between them
    assert (texts(local), local.complete, local.interval) == ([450, *down(82, 100)], False, (82, 450))
    below_the_gap = await group.get_local_messages(20, before=local[1])
    assert (texts(below_the_gap), below_the_gap.complete) == (down(80, 99), True)
    to_the_begin = await group.get_local_messages(200, before=local[1])
    assert (texts(to_the_begin), to_the_begin.complete) == (down(1, 99), True)
    before_the_newest = await group.get_local_messages(5, before=local[0])
    assert (texts(before_the_newest), before_the_newest.complete) == (down(96, 100), False)
    assert before_the_newest.gaps == ((101, 449),)
    alone = await group.get_local_messages(1)  # logged out: the newest message is not known
    assert (texts(alone), alone.complete, alone.gaps) == ([450], False, ())
    below = await group.get_messages(20, before=local[1])
    assert (texts(below), below.complete, below.requests) == (down(80, 99), True, 0)
    beginning = await group.get_messages(20, before=local[1], after=None)
    assert beginning.complete
    await bob.close()


@pytest.mark.requirement("F30")
async def test_an_offline_page_of_the_newest_is_local_and_never_complete(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("bob")
    alice = server.client("alice", data_dir=tmp_path)
    watch = EventRecorder(alice, ConnectionLost)
    async with alice:
        for n in range(1, 251):
            await alice.c2c("bob").send(str(n))
        page = await alice.c2c("bob").get_messages(10)
        # the messages that this device sent are stored, so there is no request
        assert (page.complete, page.requests) == (True, 0)
        await server.stop()
        await watch.wait_for_event(ConnectionLost)
        page = await alice.c2c("bob").get_messages(10)
        assert (texts(page), page.complete, page.requests) == (down(241, 250), False, 0)
        older = await alice.c2c("bob").get_messages(10, before=page[-1])
        assert (texts(older), older.complete, older.requests) == (down(231, 240), True, 0)
        assert texts([m async for m in alice.c2c("bob").history()]) == down(1, 250)
        with pytest.raises(timim.NetworkError):
            await alice.c2c("bob").fetch_missing()
        await server.start()


@pytest.mark.requirement("F30")
async def test_the_beginning_and_the_end_are_known_after_a_restart(server: RunningServer, tmp_path: Path) -> None:
    id = await said(server, 30, "bob")
    async with server.client("bob", data_dir=tmp_path) as bob:
        first = (await bob.group(id).get_messages(1000))[-1]
        assert (await bob.group(id).get_messages(5, before=first)).requests == 0
    before = await asked(server, GROUP_HISTORY)
    async with server.client("bob", data_dir=tmp_path) as bob:
        page = await bob.group(id).get_messages(1000)
        assert (len(page), page.complete, page.requests) == (30, True, 0)
        nothing = await bob.group(id).get_messages(5, before=page[-1])
        assert (list(nothing), nothing.complete, nothing.interval, nothing.requests) == ([], True, None, 0)
        newer = await bob.group(id).get_messages(5, after=page[0])
        assert (list(newer), newer.complete, newer.requests) == ([], True, 0)
    assert await asked(server, GROUP_HISTORY) == before


async def by_its_operator(server: RunningServer, *statements: str) -> None:
    """Stop the server, change its database, and start it again."""
    await server.stop()
    await in_database(server.folder, *statements)
    await server.start()


@pytest.mark.requirement("F30")
async def test_messages_the_server_no_longer_has_are_not_requested_again(server: RunningServer, tmp_path: Path) -> None:
    id = await said(server, SAID, "bob")
    kept = f"timeline=(SELECT id FROM timelines WHERE name='group\x1f{id}')"
    await by_its_operator(
        server,
        f"DELETE FROM entries WHERE {kept} AND (seq<=100 OR seq IN (200, 201, 449))",
        f"UPDATE timelines SET floor=101 WHERE name='group\x1f{id}'",
    )
    left = [n for n in down(101, SAID) if n not in (200, 201, 449)]
    async with server.client("bob", data_dir=tmp_path) as bob:
        page = await bob.group(id).get_messages(20)
        assert (texts(page), page.complete) == (left[:20], True)  # tombstones do not count towards the requested number
        up = await bob.group(id).get_messages(100, after=(await bob.group(id).get_messages(300))[-1])
        assert len(up) == 100
        whole = await bob.group(id).get_messages(1000)
        assert (texts(whole), whole.complete, whole.interval) == (left, True, (101, SAID))
        known = await bob.group(id).coverage()
        assert (known.first_visible_seq, known.intervals, known.complete) == (101, ((101, SAID),), True)
    before = await asked(server, GROUP_HISTORY)
    async with server.client("bob", data_dir=tmp_path) as bob:
        whole = await bob.group(id).get_messages(1000)
        assert (texts(whole), whole.complete, whole.requests) == (left, True, 0)
        assert texts([m async for m in bob.group(id).history(oldest_first=True)]) == left[::-1]
        assert (await bob.group(id).get_messages(20, before=whole[-1])).complete
    assert await asked(server, GROUP_HISTORY) == before


@pytest.mark.requirement("F30")
async def test_messages_sent_while_out_of_a_group_are_a_permanent_gap(server: RunningServer, tmp_path: Path) -> None:
    id = await said(server, 10, "bob")
    async with server.client("alice") as alice, server.client("bob", data_dir=tmp_path) as bob:
        group = alice.groups.of(id)
        await bob.group(id).get_messages(100)
        await group.kick("bob")
        for n in range(11, 15):
            await alice.group(id).send(str(n))
        await group.invite("bob")
        arrived = bob.wait_for(lambda m: m.text == "20", timeout=20)
        await alice.group(id).send("20")
        await arrived
        page = await bob.group(id).get_messages(100)
        shown = [m.seq for m in page]
        assert shown == down(shown[-1], shown[0])  # without a jump
        assert shown[-1] == (await bob.group(id).coverage()).first_visible_seq > 14
        assert page.complete
        local = await bob.group(id).get_local_messages(100)
        assert (local[-1].seq, local.complete) == (1, False)


async def test_history_starts_at_a_time_and_goes_in_both_directions(server: RunningServer, tmp_path: Path) -> None:
    id = await said(server, 40, "bob")
    when = f"UPDATE entries SET time=1000+seq/4 WHERE timeline=(SELECT id FROM timelines WHERE name='group\x1f{id}')"
    await by_its_operator(server, when)  # four messages a second, from 1000.25 to 1010
    wanted = [n for n in range(1, 41) if 1003 <= 1000 + n // 4 <= 1005]
    bob = server.client("bob", data_dir=tmp_path)
    for online in (True, True, False):  # first by requests, then from the local store, then offline
        await (bob.login() if online else bob.open())
        group = bob.group(id)
        assert texts([m async for m in group.history(since=1003, until=1005)]) == wanted[::-1]
        assert texts([m async for m in group.history(since=1003, until=1005, oldest_first=True)]) == wanted
        assert texts([m async for m in group.history(since=1002.1, until=1005.9, oldest_first=True)]) == wanted
        assert texts([m async for m in group.history(since=1005, until=1005, limit=2)]) == wanted[:-3:-1]
        assert [m async for m in group.history(until=0)] == []
        assert [m async for m in group.history(since=5000, oldest_first=True)] == []
        assert texts([m async for m in group.history(since=1, oldest_first=True)]) == list(range(1, 41))
        assert [m async for m in group.history(limit=0)] == []
        with pytest.raises(timim.InvalidArgument):
            [m async for m in group.history(limit=-1)]
        await bob.close()


@pytest.mark.requirement("F30")
async def test_failed_messages_keep_their_position_and_displace_nothing(server: RunningServer) -> None:
    await server.add_users("bob")
    async with server.client("alice") as alice:
        bob = alice.c2c("bob")
        expected: list[str] = []
        for n in range(240):
            if n % 40 == 0:
                with pytest.raises(timim.FileMissing):
                    await bob.send(timim.FileElem(path="/missing"))
                expected.append("failed")
            await bob.send(str(n))
            expected.append(str(n))

        def said_or_failed(messages: Sequence[Message]) -> list[str]:
            return ["failed" if m.status is MessageStatus.FAILED else m.text for m in messages]

        newest_first = [m async for m in bob.history()]
        assert said_or_failed(newest_first) == expected[::-1]
        assert said_or_failed([m async for m in bob.history(oldest_first=True)]) == expected
        paged: list[Message] = []
        while page := await bob.get_messages(7, before=paged[-1] if paged else None):
            paged += page
        assert said_or_failed(paged) == expected[::-1]
        oldest_failed = newest_first[-1]
        assert oldest_failed.seq == 0
        before = await asked(server, C2C_HISTORY)
        assert list(await bob.get_messages(5, before=oldest_failed)) == []
        up = await bob.get_messages(3, after=oldest_failed)
        assert said_or_failed(up) == ["2", "1", "0"]
        assert await asked(server, C2C_HISTORY) == before
        with pytest.raises(timim.InvalidArgument):
            await alice.c2c("alice").get_messages(5, before=newest_first[0])
        with pytest.raises(timim.InvalidArgument):
            await alice.c2c("alice").get_local_messages(5, before=newest_first[0])


async def test_fill_fetches_every_gap_and_reports_progress(server: RunningServer, tmp_path: Path) -> None:
    id = await said(server, SAID, "bob")
    async with server.client("bob", data_dir=tmp_path) as bob:
        watch = EventRecorder(bob)
        group = bob.group(id)
        told: list[tuple[int, int]] = []
        known = await group.fetch_missing(lambda done, total: told.append((done, total)))
        assert (known.complete, known.intervals) == (True, ((1, SAID),))
        assert told[0] == (0, SAID - 1)
        assert told[-1] == (SAID - 1, SAID - 1)
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        assert (await group.fetch_missing()) == known
        assert await asked(server, GROUP_HISTORY) == 3
        page = await group.get_messages(1000)
        assert (len(page), page.requests) == (SAID, 0)
        assert watch.messages == []  # fetched messages are not delivered to handlers


async def test_a_server_restored_from_a_backup_is_noticed_and_its_history_fetched_again(
    server: RunningServer, tmp_path: Path
) -> None:
    """Test detection by a new epoch, and without one by stored seqs above the server's last one."""
    for said_so in (True, False):
        me, peer = f"alice{said_so}", f"bob{said_so}"
        await server.add_users(me, peer)
        async with server.client(me, data_dir=tmp_path) as alice:
            for n in range(1, 6):
                await alice.c2c(peer).send(str(n))
            three = (await alice.c2c(peer).get_messages(3))[-1]
            await three.set_custom_int(7)
        await server.stop()
        backup = (server.folder / "timim.db").read_bytes()
        await server.start()
        async with server.client(me, data_dir=tmp_path) as alice:
            for n in range(6, 11):
                await alice.c2c(peer).send(str(n))
            assert (await alice.c2c(peer).coverage()).intervals == ((1, 10),)
        await server.stop()
        for path in server.folder.glob("timim.db-*"):
            path.unlink()
        (server.folder / "timim.db").write_bytes(backup)
        server._settings["new_epoch"] = said_so
        await server.start()
        server._settings["new_epoch"] = False
        alice = server.client(me, data_dir=tmp_path)
        watch = EventRecorder(alice, HistoryReset)
        async with alice, server.client(peer) as bob:
            await watch.wait_for_event(HistoryReset)
            await bob.c2c(me).send("6 anew")
            await watch.wait_for_message(lambda m: m.text == "6 anew")
            page = await alice.c2c(peer).get_messages(100)
            numbered = [(m.seq, m.text) for m in page if m.seq]
            assert numbered == [(6, "6 anew"), (5, "5"), (4, "4"), (3, "3"), (2, "2"), (1, "1")]
            assert next(m for m in page if m.seq == 3).custom_int == 7  # the same row under its new seq
            assert [m.text for m in watch.messages] == ["6 anew"]
            lost = [m.text for m in await alice.c2c(peer).get_local_messages(100) if not m.seq]
            assert sorted(lost) == ["10", "6", "7", "8", "9"]  # only the server has lost these messages
        again = server.client(me, data_dir=tmp_path)
        watch = EventRecorder(again, HistoryReset)
        async with again:
            assert (await again.c2c(peer).get_messages(6)).requests == 0
        assert watch.events == []


@pytest.mark.requirement("F30")
async def test_a_just_sent_message_is_in_the_page_while_the_inbox_waits(server: RunningServer) -> None:
    """Test a page while the inbox waits for messages that it has to fetch first."""
    async with server.client("bob") as bob, server.client("alice") as alice:
        await alice.c2c("bob").send("one")
        async with alice.engine.inbox._turn:  # like an inbox that waits for the server
            sent = await alice.c2c("bob").send("two")
            page = await alice.c2c("bob").get_messages(10)
            assert [m.text for m in page] == ["two", "one"]
            assert page[0].seq == sent.seq
            assert page.requests == 0
        assert bob.user_id == "bob"


async def test_a_reply_received_before_our_row_has_its_seq_fetches_nothing(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice", data_dir=tmp_path) as alice, server.client("bob") as bob:
        answers = EventRecorder(alice)

        @bob.on_new_message
        async def answer(messages: list[Message]) -> None:
            for message in messages:
                await bob.c2c("alice").send(f"re: {message.text}")

        for n in range(20):
            await alice.c2c("bob").send(f"{n}")
            await answers.wait_for_messages(n + 1)
        assert [m.text for m in answers.messages] == [f"re: {n}" for n in range(20)]
        assert await asked(server, "openim.getroammsg") == 0
        held = await alice.c2c("bob").get_local_messages(100)
        assert [m.seq for m in held] == list(range(40, 0, -1))


async def misses_silently(server: RunningServer) -> list[bool]:
    """Return for a known and for a requested page whether it says that it is complete, and lacks an acknowledged message."""
    await server.add_users("ann")
    async with server.client("ben") as ben:
        watch = EventRecorder(ben)
        group = await ben.groups.create("Public", name="g", members=["ann"])
        await group.conversation.send("before")
        async with server.client("ann", recent_contacts=False) as ann:  # she does not know the group
            await ann.c2c("ben").send("before")
            await watch.wait_for_message(lambda m: m.text == "before")
            stall = server.faults.stall(user="ben", direction="down")
            acked = [await ann.c2c("ben").send("acknowledged")]
            pages = [await ben.c2c("ann").get_messages(5)]
            await stall.happened()
            server.faults.clear()
            await watch.wait_for_message(lambda m: m.text == "acknowledged")
            stall = server.faults.stall(user="ann", direction="down")
            first = asyncio.create_task(ann.group(group.id).get_messages(5))
            await stall.happened()
            acked.append(await group.conversation.send("acknowledged"))
            second = asyncio.create_task(ann.group(group.id).get_messages(5))
            await asyncio.sleep(0)
            server.faults.clear()
            pages.append(await second)
            await first
    return [
        page.complete and page.as_of is None and message.seq not in [m.seq for m in page]
        for page, message in zip(pages, acked, strict=True)
    ]


@pytest.mark.requirement("P01")
async def test_a_complete_page_has_what_was_acknowledged_before_or_says_as_of(server: RunningServer) -> None:
    assert not any(await misses_silently(server))


@pytest.mark.requirement("P01")
async def test_a_local_page_without_as_of_is_detected(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history._Newest, "as_of", lambda *_: None)
    assert any(await misses_silently(server))


@pytest.mark.requirement("P01")
async def test_a_local_page_names_the_seq_and_time_of_its_newest_message(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("ann2") as ann, server.client("ben2", data_dir=tmp_path) as ben:
        watch = EventRecorder(ben)
        await ann.c2c("ben2").send("one")
        last = await ann.c2c("ben2").send("two")
        await watch.wait_for_messages(2)
        local = await ben.c2c("ann2").get_messages(1)
        assert local.as_of == AsOf(2, last.timestamp)
        older = await ben.c2c("ann2").get_messages(5, before=local[0])
        assert (older.complete, older.as_of) == (True, None)
        later = await ben.c2c("ann2").get_messages(5, after=older[0])
        assert (later.complete, later.as_of) == (True, AsOf(2, last.timestamp))
    async with server.client("ben2", recent_contacts=False) as fresh:
        assert (await fresh.c2c("ann2").get_messages(5)).as_of in (None, AsOf(2, last.timestamp))
    ben = server.client("ben2", data_dir=tmp_path)
    await ben.open()
    offline = await ben.c2c("ann2").get_messages(5)
    assert (offline.complete, offline.as_of) == (False, AsOf(2, last.timestamp))
    await ben.close()
