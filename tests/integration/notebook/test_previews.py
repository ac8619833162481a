"""Tests of content inside outputs, with a real server: players, limits, content that is gone, and long mergers."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.paths import MEDIA
from tests.support.sound_factory import mp4
from timim import Client, FileElem, ImageElem, MergerElem, Message, SoundElem, VideoElem
from timim.notebook import load_previews
from timim.notebook.bundle import mimebundle
from timim.testing import RunningServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.requirement("P08")]
STILL = (MEDIA / "rocket.jpg").read_bytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(shared_server: RunningServer) -> AsyncIterator[tuple[Client, Client]]:
    async with shared_server.client("alice") as alice, shared_server.client("bob") as bob:
        yield alice, bob


async def sent(pair: tuple[Client, Client], *parts: object) -> Message:
    """Send a message from alice to bob, and return bob's object of it."""
    alice, bob = pair
    async with bob.c2c("alice").expect(lambda message: True, timeout=20) as got:
        await alice.c2c("bob").send(*parts)  # type: ignore[arg-type]
    return await got


def html_of(value: object) -> str:
    return mimebundle(value)["text/html"]


async def test_a_short_video_and_a_voice_message_get_players(pair: tuple[Client, Client]) -> None:
    film = mp4(3, b"isom") + bytes(1000)
    message = await sent(pair, VideoElem(data=film, duration=3, snapshot=STILL), SoundElem(path=MEDIA / "hello-en.wav"))
    assert "<video" not in html_of(message)
    await load_previews(message)
    html = html_of(message)
    assert '<video controls preload="none" src="data:video/mp4;base64,' in html
    assert '<audio controls preload="none" src="data:audio/wav;base64,' in html


async def test_a_long_video_is_a_card_with_its_still_picture(pair: tuple[Client, Client]) -> None:
    small = (await sent(pair, ImageElem(data=STILL)))[0]
    assert isinstance(small, ImageElem)
    still = await next(iter(reversed(list(small.images.values())))).read()
    message = await sent(pair, VideoElem(data=mp4(3, b"isom") + bytes(3_100_000), duration=3, snapshot=still))
    await load_previews(message)
    html = html_of(message)
    assert "<video" not in html
    assert "use await elem.download(…) to watch it" in html


async def test_content_that_cannot_be_fetched_is_named(pair: tuple[Client, Client]) -> None:
    message = await sent(pair, ImageElem(path=MEDIA / "hubble_deep_field.jpg"))
    picture = pickle.loads(pickle.dumps(message))  # of no client
    await load_previews(picture)
    html = html_of(picture)
    assert "<img" not in html
    assert "MediaError: the elem does not belong to a client&#x27;s message" in html
    assert "px;min-height:" in html  # a box of the picture's size


async def test_a_long_merger_unfolds_after_its_content_was_fetched(pair: tuple[Client, Client]) -> None:
    alice, _ = pair
    parts = [await alice.c2c("bob").send(f"part {number} " + "x" * 900) for number in range(12)]
    pictures = [await alice.c2c("bob").send("look", ImageElem(path=MEDIA / "astronaut.png"))]
    merger = await alice.c2c("bob").forward([*parts, *pictures], title="a long talk")
    assert isinstance(merger[0], MergerElem)
    assert not merger[0].content  # it is on the server
    assert "<details>" not in html_of(merger)
    await load_previews(merger)
    html = html_of(merger)
    assert "<details>" in html
    assert "part 11" in html
    assert "<img" in html


async def test_a_file_is_never_fetched(pair: tuple[Client, Client]) -> None:
    message = await sent(pair, FileElem(data=b"<script>alert(1)</script>", filename="page.html"))
    await load_previews(message)
    assert "data:" not in html_of(message)
    assert "page.html" in html_of(message)
