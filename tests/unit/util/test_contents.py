"""Tests of content that is given as an open file or as a Pillow image."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from timim import Elem, FileElem, ImageElem, InvalidElem, SoundElem, TextElem, VideoElem


def test_an_open_file_is_read_from_its_position_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as file:
        file.seek(4)
        assert SoundElem(data=file).data == b"456789"
    assert FileElem(data=io.BytesIO(b"bytes"), filename="x").data == b"bytes"
    assert ImageElem(data=io.BytesIO(b"bytes")).data == b"bytes"


def test_content_has_a_name_of_its_own_for_each_form(tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(b"report")
    with (tmp_path / "report.pdf").open("rb") as file:
        elem = FileElem(file=file)
    assert (elem.data, elem.filename) == (b"report", "report.pdf")
    assert FileElem(file=io.BytesIO(b"x"), filename="a.pdf").filename == "a.pdf"
    assert FileElem(file=io.BytesIO(b"x")).filename == ""
    assert SoundElem(file=io.BytesIO(b"sound")) == SoundElem(data=b"sound")
    image = Image.new("RGB", (30, 20))
    picture = ImageElem(image=image)
    assert picture == ImageElem(data=image)
    assert ImageElem.model_validate_json(picture.model_dump_json()) == picture


def test_the_snapshot_of_a_video_takes_each_form_of_a_picture(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 20))
    png = ImageElem(image=image).data
    assert VideoElem(data=b"film", snapshot=image).snapshot == png
    assert VideoElem(data=b"film", snapshot=io.BytesIO(b"jpeg")).snapshot == b"jpeg"
    assert VideoElem(data=b"film", snapshot=b"jpeg").snapshot == b"jpeg"
    assert VideoElem(data=b"film", snapshot=str(tmp_path / "a.jpg")).snapshot == tmp_path / "a.jpg"
    elem = VideoElem(data=b"film", snapshot=image)
    assert VideoElem.model_validate_json(elem.model_dump_json()) == elem
    with pytest.raises(InvalidElem, match="snapshot: must be bytes, an open binary file or an image of Pillow, not int"):
        VideoElem(data=b"film", snapshot=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_an_image_of_every_mode_is_written_as_png(mode: str) -> None:
    data = ImageElem(data=Image.new(mode, (30, 20))).data
    assert data is not None
    written = Image.open(io.BytesIO(data))
    assert (written.format, written.size) == ("PNG", (30, 20))


def test_an_image_is_upright_and_without_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010F] = "the maker"
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(out, "JPEG", exif=exif)
    data = ImageElem(data=Image.open(out)).data
    assert data is not None
    written = Image.open(io.BytesIO(data))
    assert written.size == (20, 30)
    assert not written.getexif()


def test_what_cannot_be_read_is_refused_with_the_remedy() -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    for value, words in (
        (io.StringIO("text"), "open it in binary mode"),
        (closed, "the file cannot be read"),
        ("text", "must be bytes, an open binary file or an image of Pillow, not str; give the name of a file as path="),
        (7, "must be bytes, an open binary file or an image of Pillow, not int"),
    ):
        arguments: list[tuple[Callable[..., Elem], str]] = [(FileElem, "data"), (FileElem, "file"), (ImageElem, "image")]
        for kind, name in arguments:
            with pytest.raises(InvalidElem, match=f"Elem: {name}: .*{words}"):
                kind(**{name: value})
    with pytest.raises(
        InvalidElem, match=r"ImageElem: path: must be a path \(str or Path\), not BytesIO; give content as data="
    ):
        ImageElem(path=io.BytesIO(b"x"))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind, words", [(ImageElem, "path=… or data=…"), (FileElem, "path=… or data=…"), (TextElem, "text=…")])
def test_a_value_without_a_name_says_how_it_is_given(kind: type[TextElem], words: str) -> None:
    with pytest.raises(InvalidElem, match=f"{kind.__name__}: give each field by its name, such as {words}"):
        kind("a.jpg")  # type: ignore[call-arg]
