"""Content given as an open file, or as a picture of Pillow, read as bytes."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Protocol, cast

from pydantic import AliasChoices, BeforeValidator, Field, ValidationInfo

from .arguments import Bytes, LocalPath

if TYPE_CHECKING:
    from PIL.Image import Image

    from .models import FrozenModel

    class Readable(Protocol):
        """Open file whose `read()` returns bytes."""

        def read(self) -> bytes: ...

    class DataField:
        """Field that holds bytes or None and can be set to an open file or a Pillow image; for type checkers only."""

        def __get__(self, elem: object, owner: type[object]) -> bytes | None: ...
        def __set__(self, elem: object, value: bytes | bytearray | memoryview | Readable | Image | None) -> None: ...

    class PictureField:
        """Field that holds bytes, a path or None and can be set to an open file or a Pillow image; for type checkers only."""

        def __get__(self, elem: object, owner: type[object]) -> bytes | Path | None: ...
        def __set__(
            self, elem: object, value: bytes | bytearray | memoryview | str | Path | Readable | Image | None
        ) -> None: ...

    class FileField:
        """Another name of `data` in the constructor, for an open file; no attribute has this name."""

        def __get__(self, elem: object, owner: type[object]) -> NoReturn: ...
        def __set__(self, elem: object, value: Readable | None) -> None: ...

    class ImageField:
        """Another name of `data` in the constructor, for an image of Pillow; no attribute has this name."""

        def __get__(self, elem: object, owner: type[object]) -> NoReturn: ...
        def __set__(self, elem: object, value: Image | None) -> None: ...

    class FileArgument(FrozenModel):
        """Elem that can be given an open file as `file=`."""

        file: FileField = FileField()

    class ImageArgument(FileArgument):
        """Elem that can be given an image of Pillow as `image=`."""

        image: ImageField = ImageField()


__all__ = [
    "DataField",
    "FileArgument",
    "ImageArgument",
    "PictureField",
    "contents_of",
    "named_after_its_file",
    "optional_data",
    "optional_picture",
]


_FORMS = "must be bytes, an open binary file or an image of Pillow"


def contents_of(value: object, info: ValidationInfo) -> object:
    """Return the bytes of an open file, from its position to its end, or of a Pillow image; base64 in JSON as it is.

    An image is written as PNG, upright as its EXIF says, and without metadata. An animation gives the current frame.

    Raises:
        ValueError: The value is none of these, the file is open in text mode or unreadable, or the image cannot be written.
    """
    if isinstance(value, str):
        if info.mode == "json":
            return value  # pydantic decodes base64
        raise ValueError(f"{_FORMS}, not str; give the name of a file as path=, and encode a text")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    pillow = sys.modules.get("PIL.Image")  # without it there can be no image
    if pillow is not None and isinstance(value, pillow.Image):
        return _png(value)
    read = getattr(value, "read", None)
    if not callable(read):
        raise ValueError(f"{_FORMS}, not {type(value).__name__}")
    try:
        content = read()
    except (OSError, ValueError) as exc:
        raise ValueError(f"the file cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    if isinstance(content, str):
        raise ValueError("the file is open in text mode; open it in binary mode ('rb')")
    if not isinstance(content, bytes):
        raise ValueError("read() of the file must return bytes; give an asynchronous file as data=await file.read()")
    return content


def _png(image: Image) -> bytes:
    from PIL import ImageOps

    out = io.BytesIO()
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "I":
            upright = upright.convert("I;16")  # PNG has no grays of 32 bits
        elif upright.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
            upright = upright.convert("RGBA" if upright.mode in ("La", "RGBa", "PA") else "RGB")
        upright.info.pop("exif", None)
        upright.save(out, "PNG", compress_level=1)  # six times as fast as the default, for a tenth more bytes
    except (OSError, ValueError, SyntaxError) as exc:
        raise ValueError(f"the image cannot be written as PNG: {type(exc).__name__}") from exc
    return out.getvalue()


def _picture_or_path(value: object, info: ValidationInfo) -> object:
    """Return a path or None as it is, and other values as their bytes."""
    return value if value is None or isinstance(value, str | Path) else contents_of(value, info)


if not TYPE_CHECKING:
    PictureField = Annotated[Bytes | LocalPath | None, BeforeValidator(_picture_or_path)]
    DataField = Annotated[bytes, BeforeValidator(contents_of)] | None
    FileArgument = ImageArgument = object  # `validation_alias` of `data` has these names


def optional_data(*others: str) -> DataField:
    """Return the definition of a DataField that is None unless it is given, as `data=` or by another name."""
    return cast("DataField", Field(default=None, repr=False, validation_alias=AliasChoices("data", *others)))


def optional_picture() -> PictureField:
    """Return the definition of a PictureField that is None unless it is given."""
    return cast("PictureField", Field(default=None, repr=False))


def named_after_its_file(cls: type[object], value: Any) -> Any:
    """Return the fields of an elem with the name of its file, if none is given, from the path or the open file."""
    if not isinstance(value, dict) or value.get("filename"):
        return value
    path = value.get("path") or getattr(value.get("file", value.get("data")), "name", None)
    name = Path(path).name.encode(errors="replace").decode() if isinstance(path, str | Path) else ""
    return {**value, "filename": name} if name else value
