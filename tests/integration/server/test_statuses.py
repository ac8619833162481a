"""Tests of user statuses: the text of a user, who is online, and subscriptions to the changes."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.rest import RestClient
from tests.support.users import Users
from timim import Client, InvalidArgument, LimitReached, StatusChanged, UnknownUser, UserStatus
from timim.testing import EventRecorder, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_status_is_seen_while_its_user_is_online(shared_server: RunningServer, users: Users) -> None:
    me, other = await users.login("me"), users.id("other")
    async with shared_server.client(other) as gone:
        await gone.statuses.set("in a meeting 📞")
        assert await me.statuses.get([other, users.id("me")]) == {
            other: UserStatus(other, True, "in a meeting 📞"),
            users.id("me"): UserStatus(users.id("me"), True),
        }
    await me.statuses.subscribe([other])
    assert await me.statuses.get([other]) == {other: UserStatus(other, False)}
    async with shared_server.client(other):
        assert await me.statuses.get([other]) == {other: UserStatus(other, True, "in a meeting 📞")}


async def test_subscribers_get_each_change_on_all_of_their_devices(shared_server: RunningServer, users: Users) -> None:
    me, phone, other = await users.login("me"), await users.login("me"), users.id("other")
    await users.server.add_users(other)
    heard = [EventRecorder(client, StatusChanged) for client in (me, phone)]
    await me.statuses.subscribe([other])
    async with shared_server.client(other) as them, shared_server.client(other):
        await them.statuses.set("busy")
        await them.statuses.set("busy")
    for recorder in heard:
        await recorder.wait_for_event(StatusChanged, lambda event: not event.online)
        assert recorder.events == [
            StatusChanged(other, True, ""),
            StatusChanged(other, True, "busy"),
            StatusChanged(other, False, ""),
        ]
    await phone.statuses.unsubscribe()
    async with shared_server.client(other):
        await me.statuses.set("mine")
        await heard[1].wait_for_event(StatusChanged, lambda event: event.user_id == users.id("me"))
    assert [event.user_id for event in changes_of(heard[1])] == [other] * 3 + [users.id("me")]
    assert len(heard[0].events) == 3


async def test_subscriptions_stay_after_a_logout(shared_server: RunningServer, users: Users) -> None:
    other = users.id("other")
    await users.server.add_users(other)
    async with shared_server.client(users.id("me")) as me:
        await me.statuses.subscribe([other])
    again = shared_server.client(users.id("me"))
    heard = EventRecorder(again, StatusChanged)
    async with again:
        async with shared_server.client(other):
            await heard.wait_for_event(StatusChanged, lambda event: event.online)
        await heard.wait_for_event(StatusChanged, lambda event: not event.online)
        await again.statuses.unsubscribe([other])


def changes_of(recorder: EventRecorder) -> list[StatusChanged]:
    return [event for event in recorder.events if isinstance(event, StatusChanged)]


async def refuse(client: Client, ids: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        await client.statuses.subscribe(ids)


async def test_requests_beyond_the_limits_are_refused(shared_server: RunningServer, users: Users) -> None:
    me = await users.login("me")
    known = [users.id(f"u{number}") for number in range(201)]
    async with RestClient(shared_server) as rest:
        for begin in range(0, len(known), 100):
            await rest.done("im_open_login_svc/multiaccount_import", {"Accounts": known[begin : begin + 100]})
    with pytest.raises(InvalidArgument):
        await me.statuses.set("x" * 257)
    with pytest.raises(UnknownUser):
        await me.statuses.get(["nobody at all"])
    await refuse(me, [known[0], "nobody at all"], UnknownUser)
    await refuse(me, known[:101], InvalidArgument)
    await refuse(me, [], InvalidArgument)
    await me.statuses.subscribe(known[:100])
    await me.statuses.subscribe(known[100:200])
    await refuse(me, known[200:], LimitReached)
    await me.statuses.unsubscribe(known[:1])
    await me.statuses.subscribe(known[200:])


async def test_two_devices_that_log_in_at_once_are_one_change(shared_server: RunningServer, users: Users) -> None:
    me, other = await users.login("me"), users.id("other")
    await users.server.add_users(other)
    heard = EventRecorder(me, StatusChanged)
    await me.statuses.subscribe([other])
    devices = [shared_server.client(other) for _ in range(3)]
    await asyncio.gather(*(device.login() for device in devices))
    await heard.wait_for_event(StatusChanged, lambda event: event.online)
    await asyncio.gather(*(device.close() for device in devices))
    await heard.wait_for_event(StatusChanged, lambda event: not event.online)
    assert [event.online for event in changes_of(heard)] == [True, False]
