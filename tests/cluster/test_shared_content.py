"""Tests of gateways that store content in one bucket."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from tests.integration.cli.test_blobs_option import url_of
from tests.support.backing_services import Nats
from tests.support.paths import MEDIA
from tests.support.s3_server import Bucket
from timim import ImageElem, ImageType
from timim.testing import running_server

pytestmark = pytest.mark.timeout(240)


PICTURE = MEDIA / "rocket.jpg"


WAIT_S = 90


async def test_a_picture_sent_at_one_gateway_is_downloaded_at_another(
    database: Callable[[], str], nats_server: Nats, bucket: Bucket
) -> None:
    shared = {
        "database": database(),
        "bus": nats_server.url,
        "blobs": url_of(bucket),
        "s3_access_key": bucket.access_key,
        "s3_secret_key": bucket.secret_key,
    }
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(running_server(**shared)) for _ in range(2)]  # type: ignore[arg-type]
        assert here.folder != there.folder
        alice = await stack.enter_async_context(here.client("alice"))
        bob = await stack.enter_async_context(there.client("bob"))
        heard = bob.wait_for(lambda message: isinstance(message[0], ImageElem), timeout=WAIT_S)
        await alice.c2c("bob").send(ImageElem(path=PICTURE))
        picture = (await heard)[0]
        assert isinstance(picture, ImageElem)
        assert await picture.images[ImageType.ORIGINAL].read() == PICTURE.read_bytes()
        assert list((here.folder / "media").glob("*")) == list((there.folder / "media").glob("*")) == []
