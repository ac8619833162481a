"""Tests of several devices of one user: each gets every message once, read states agree, and device slots can be limited."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest
from pyleak import no_task_leaks

import timim
from tests.integration.server.test_system_messages import RawPushes
from timim import ConnectionLost, ConnectionRestored, KickedOut, Message
from timim.errors import KickedOffline
from timim.protocol import session as status
from timim.protocol.frames import Head
from timim.server.bus.base import LoginAnnouncement
from timim.server.sessions.auth import Login
from timim.server.sessions.device_slots import DeviceSlots
from timim.server.sessions.fanout import Fanout
from timim.server.sessions.session import LOST_DEVICE_SLOT, SUPERSEDED, ClientInfo, Session
from timim.server.store.sqlite import SqliteStore
from timim.testing import EventRecorder, RunningServer, running_server
from timim.transport.websocket import Link

WAIT_S = 20


def texts(messages: list[Message]) -> list[str]:
    return [m.text for m in messages]


async def until_read(server: RunningServer, device: timim.Client, peer: str) -> None:
    """Wait until this device knows that the conversation is read, without a request to the server."""
    async with asyncio.timeout(WAIT_S):
        while device.c2c(peer).unread:
            await device.c2c(peer).coverage()


async def late_login(server: RunningServer, device: timim.Client, attempt: int) -> None:
    """Send a login of this device with an older or newer attempt number. Raises the server's refusal."""
    link = await Link.open(server.url, RawPushes(), timeout_s=WAIT_S)
    running = asyncio.create_task(link.run())
    try:
        signature = timim.sign_user(server.app_id, server.secret_key, device.user_id)
        link.head = Head("", identifier=device.user_id, usersig=signature, sdkappid=server.app_id)
        instance = await device.engine.store.meta.get("instance", "")
        hello = status.TimelineClient(
            batch=True, instance=instance, resumed=True, run=device.engine.connection._run, attempt=attempt
        )
        await link.call(status.LOGIN, status.LoginRequest(client=hello), timeout_s=WAIT_S)
    finally:
        await link.close()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_abandoned_login_that_arrives_late_does_not_end_the_next_one() -> None:
    """Test a client that gives up a login and tries again, on a server that handles the first login after the second."""
    async with running_server() as server, server.client("bob") as bob, server.client("alice") as alice:
        ended = EventRecorder(bob, KickedOut)
        with pytest.raises(KickedOffline):
            await late_login(server, bob, attempt=0)
        heard = bob.wait_for(lambda m: m.text == "still there?", timeout=WAIT_S)
        await alice.c2c("bob").send("still there?")
        await heard
        assert ended.events == []
        await late_login(server, bob, attempt=2)  # an attempt that is really later ends the session
        await ended.wait_for_event(KickedOut)


@pytest.mark.requirement("F16", "F19", "F21")
async def test_each_device_gets_everything_once_and_all_agree_on_read_state(tmp_path: Path) -> None:
    async with running_server() as server, server.client("bob") as bob:
        here, there, away = (server.client("alice", data_dir=tmp_path / name) for name in ("here", "there", "away"))
        async with away:
            pass
        watches = [EventRecorder(here), EventRecorder(there)]
        async with here, there:
            for n in range(20):
                await here.c2c("bob").send(f"mine {n}")
                await bob.c2c("alice").send(f"his {n}")
            said = [f"{who} {n}" for n in range(20) for who in ("mine", "his")]
            on_here, on_there = [await watch.wait_for_message(lambda m: m.text == "his 19") for watch in watches]
            assert on_here.seq == on_there.seq == 40
            # the device sent these messages itself
            assert texts(watches[0].messages) == [text for text in said if "his" in text]
            assert texts(watches[1].messages) == said
            assert {m.text.split()[0]: m.is_self for m in watches[1].messages} == {"mine": True, "his": False}
            assert (here.c2c("bob").unread, there.c2c("bob").unread) == (20, 20)
            await there.c2c("bob").mark_read()
            await until_read(server, here, "bob")
            for device in (here, there):
                page = await device.c2c("bob").get_messages(100)
                assert texts(list(page)) == said[::-1]
                assert all(m.is_read for m in page)
                assert page.requests == 0
                assert all(m.is_read for m in device.c2c("bob").get_cached_messages())
        late = EventRecorder(away)
        async with away:
            assert texts(await late.wait_for_messages(40)) == said
            assert all(m.is_read for m in late.messages)  # read on another device, and still delivered to handlers
            assert [m.is_self for m in late.messages] == [text.startswith("mine") for text in said]
            assert away.c2c("bob").unread == 0
        assert [len(watch.messages) for watch in (*watches, late)] == [20, 40, 40]


async def test_a_device_that_reads_too_slowly_is_closed_and_catches_up(tmp_path: Path) -> None:
    async with (
        running_server(session_queue_bytes=100_000) as server,
        server.client("alice") as alice,
        server.client("carol") as carol,
    ):
        bob = server.client("bob", data_dir=tmp_path, reconnect_limit=0.5)
        watch, other = EventRecorder(bob, ConnectionLost, ConnectionRestored), EventRecorder(carol)
        async with bob:
            stall = server.faults.stall(user="bob", direction="down")
            # 20 MB are more than the socket buffers hold
            sending = [alice.c2c("bob").send(f"{n} " + "x" * 10_000) for n in range(2000)]
            await asyncio.gather(*sending)
            await alice.c2c("carol").send("others meanwhile")
            await other.wait_for_message(lambda m: m.text == "others meanwhile")
            stall.release()
            await watch.wait_for_event(ConnectionLost)
            await watch.wait_for_event(ConnectionRestored)
            await watch.wait_for_messages(2000)
            assert [text.split()[0] for text in texts(watch.messages)] == [str(n) for n in range(2000)]
            assert (await bob.c2c("alice").coverage()).intervals == ((1, 2000),)


@pytest.mark.parametrize("policy", ["all", "platform", "one"])
async def test_a_login_kicks_devices_of_the_same_platform(policy: Literal["all", "platform", "one"]) -> None:
    async with running_server(devices=policy) as server, server.client("bob") as bob:
        phone = server.client("alice", platform="mobile")
        desk = server.client("alice", platform="desktop")
        second = server.client("alice", platform="mobile")
        watches = {device: EventRecorder(device, KickedOut, ConnectionLost) for device in (phone, desk, second)}
        async with phone, desk, second:
            stays = {"all": {phone, desk, second}, "platform": {desk, second}, "one": {second}}[policy]
            for device in {phone, desk, second} - stays:
                kicked = await watches[device].wait_for_event(KickedOut)
                assert isinstance(kicked.error, timim.KickedOffline)
                assert kicked.error.code == 6208
                with pytest.raises(timim.KickedOffline):
                    await device.friends.list()
            await bob.c2c("alice").send("hello")
            for device in stays:
                await watches[device].wait_for_message(lambda m: m.text == "hello")
                assert watches[device].events == []
            if policy == "all":
                return
            # the device that lost its slot may log in again; then the other one loses the slot
            await phone.login()
            await watches[second].wait_for_event(KickedOut)
            await watches[phone].wait_for_message(lambda m: m.text == "hello")
            # a logout frees the slot
            await phone.logout()
            await second.login()
            assert "online" in repr(second)


async def test_a_device_that_lost_its_slot_while_away_stays_logged_out() -> None:
    async with running_server(devices="one") as server:
        phone = server.client("alice", reconnect_limit=0.2)
        watch = EventRecorder(phone, KickedOut, ConnectionLost, ConnectionRestored)
        async with phone:
            server.faults.cut_all()
            await watch.wait_for_event(ConnectionRestored)  # a cut alone does not cost the slot
            cuts = server.faults.cut(user="alice", times=1_000_000)
            server.faults.cut_all()
            await cuts.happened()
            server.faults.clear()
            direct = timim.Client(
                server.url,
                app_id=server.app_id,
                user_id="alice",
                user_sig=timim.sign_user(server.app_id, server.secret_key, "alice"),
                data_dir=":memory:",
            )
            lost = EventRecorder(direct, KickedOut, ConnectionLost)
            # this login either comes while the phone is disconnected, or kicks the phone; in both cases it takes the slot
            async with direct:
                kicked = await watch.wait_for_event(KickedOut)
                assert isinstance(kicked.error, timim.KickedOffline)
                assert lost.events == []
                assert "online" in repr(direct)


async def test_a_device_kicked_during_its_login_is_notified() -> None:
    async with running_server(devices="one") as server:
        phone = server.client("alice", timeout=30)
        server.faults.drop(after_frames=1, user="alice", direction="down")  # the reply with the conversation list is lost
        entering = asyncio.create_task(phone.login())
        lost = server.faults._armed[-1]
        await lost.happened()
        async with server.client("alice"):
            with pytest.raises(timim.KickedOffline):
                await entering
        async with asyncio.timeout(WAIT_S):
            await phone.login()
        await phone.close()


async def test_the_same_device_logging_in_again_ends_its_older_session(tmp_path: Path) -> None:
    async with running_server() as server:
        phone = server.client("alice", data_dir=tmp_path)
        async with phone:
            twin = server.client("alice")
            await twin.open()
            await twin.engine.store.meta.set(
                "instance", await phone.engine.store.meta.get("instance", "")
            )  # as a copy of the data folder would have, or a connection that the server has not closed yet
            watch = EventRecorder(phone, KickedOut)
            async with twin:
                kicked = await watch.wait_for_event(KickedOut)
                assert "logged in again" in str(kicked.error)
                assert "online" in repr(twin)


async def test_a_failed_or_cancelled_login_leaves_nothing_behind_and_can_be_tried_again(tmp_path: Path) -> None:
    async with running_server() as server:
        alice = server.client("alice", data_dir=tmp_path)
        async with no_task_leaks(action="raise"):
            await server.stop()
            for _ in range(3):
                with pytest.raises(timim.ConnectionFailed):
                    await alice.login()
            await server.start()
            server.faults.drop(after_frames=1, user="alice", direction="down")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await alice.login()
            assert "logged out" in repr(alice)
        async with server.client("bob"):
            waiting = asyncio.create_task(alice.c2c("bob").send("sent before the login"))
            await asyncio.sleep(0)
            await alice.login()
            assert (await asyncio.wait_for(waiting, WAIT_S)).seq == 1
        await alice.close()
        with pytest.raises(timim.AuthError):
            await alice.login(user_sig="nonsense")
        await alice.login(user_sig=timim.sign_user(server.app_id, server.secret_key, "alice"))
        await alice.close()
        with pytest.raises(timim.InvalidArgument):
            server.client("alice", platform="toaster")


async def test_a_cut_session_ends_when_its_device_returns_on_another_node() -> None:
    """Test that the login ends only an older session of the same device; a session on a dead connection would stay online."""
    phone = ClientInfo(is_timim=True, batch=True, device="phone", platform="mobile")
    ended = {}
    for resumed, at in ((True, 101.0), (False, 101.0), (True, 99.0), (False, 99.0)):
        session = Session(Login("alice"), "1", phone, queue_bytes=1000, now=lambda: 100.0)
        fanout = Fanout()
        fanout.add(session)
        places = DeviceSlots("all", SqliteStore(None).device_slots, fanout)
        places.on_remote_login(LoginAnnouncement("alice", "desk", "mobile", at, resumed))
        assert session.closed_because == ""
        places.on_remote_login(LoginAnnouncement("alice", "phone", "mobile", at, resumed))
        ended[resumed, at] = session.closed_because
    assert ended == {(True, 101.0): SUPERSEDED, (False, 101.0): LOST_DEVICE_SLOT, (True, 99.0): "", (False, 99.0): ""}
