"""Tests of pictures that are sent (F05, F06): the upload follows the elem's options, also after a crash of the sender."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.support import image_factory
from timim import ImageCompression, ImageElem, ImageType, MediaError, Message, MessageStatus
from timim.protocol.elems import decode_own_body, encode_body
from timim.testing import EventRecorder, running_server


@pytest.mark.requirement("F05", "F06")
async def test_originals_arrive_unchanged_and_stripped_on_request(tmp_path: Path) -> None:
    data = image_factory.encoded(image_factory.quarters(800, 900), "JPEG", told=True)
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    async with running_server() as server, server.client("alice", data_dir=tmp_path) as alice, server.client("bob") as bob:
        watch = EventRecorder(bob)
        await alice.c2c("bob").send(
            ImageElem(path=path),
            ImageElem(path=path, strip_location=True),
            ImageElem(data=data, strip_location=True),
            ImageElem(path=path, strip_location=True, compression=ImageCompression.HIGH),
            ImageElem(data=image_factory.moving("GIF", 8, 400, 300)),
        )
        plain, stripped, kept, level, moving = [elem for elem in await watch.wait_for_message() if isinstance(elem, ImageElem)]
        assert await plain.images[ImageType.ORIGINAL].read() == data
        assert image_factory.SECRET_PLACE in data
        for elem in (stripped, kept, level):
            for variant in elem.images.values():
                got = await variant.read()
                assert image_factory.SECRET_PLACE not in got
                assert variant.size == len(got)
                with Image.open(io.BytesIO(got)) as im:
                    assert im.size == (variant.width, variant.height)
        with Image.open(io.BytesIO(await moving.images[ImageType.THUMB].read())) as thumb:
            assert (thumb.format, thumb.n_frames, thumb.size) == ("GIF", 8, (264, 198))  # type: ignore[attr-defined]
        assert path.read_bytes() == data


@pytest.mark.requirement("F05")
async def test_a_picture_that_cannot_be_stripped_is_not_sent() -> None:
    async with running_server() as server, server.client("alice") as alice:
        message = Message(
            ImageElem(data=image_factory.encoded(image_factory.quarters(300, 300), "TIFF", told=True), strip_location=True)
        )
        with pytest.raises(MediaError, match="JPEG, PNG or WebP"):
            await alice.c2c("bob").send(message)
        assert message.status is MessageStatus.FAILED


@pytest.mark.requirement("F03")
def test_the_option_to_strip_a_picture_is_stored_before_it_is_sent() -> None:
    elem = ImageElem(path=Path("photo.jpg"), strip_location=True, compression=ImageCompression.HD)
    (kept,) = decode_own_body(encode_body([elem], local=True))
    assert isinstance(kept, ImageElem)
    assert (kept.strip_location, kept.compression) == (True, ImageCompression.HD)
    assert b"Strip" not in encode_body([elem])
