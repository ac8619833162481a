"""Names of the kinds of pictures that are not supported, so that an error can say more than that the content is no picture.

Invariant: no plugin of Pillow opens these files. A plugin is only asked whether it knows the first bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_FIRST_BYTES: Final = {  # of pictures that Pillow does not know
    b"FUJIFILMCCD-RAW": "the raw data of a Fujifilm camera",
    b"IIRO": "the raw data of an Olympus camera",
    b"IIRS": "the raw data of an Olympus camera",
    b"MMOR": "the raw data of an Olympus camera",
    b"IIU\0": "the raw data of a Panasonic camera",
    b"FOVb": "the raw data of a Sigma camera",
    b"\0MRM": "the raw data of a Minolta camera",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"II\xbc": "JPEG XR",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"#?RGBE": "Radiance HDR",
    b"gimp xcf": "XCF of GIMP",
    b"AT&TFORM": "DjVu",
    b"\xd7\xcd\xc6\x9a": "WMF",
    b"FLIF": "FLIF",
}
_OF_PILLOW: Final = {  # plugins whose test of the first bytes is strict enough, and names that users know
    "ICO": "ICO",
    "CUR": "CUR",
    "ICNS": "ICNS",
    "JPEG2000": "JPEG 2000",
    "PPM": "PPM",
    "PCX": "PCX",
    "DCX": "DCX",
    "PSD": "PSD of Photoshop",
    "DDS": "DDS",
    "EPS": "EPS",
    "FITS": "FITS",
    "FLI": "FLI",
    "QOI": "QOI",
    "SGI": "SGI",
    "SUN": "Sun raster",
    "WMF": "WMF or EMF",
    "XPM": "XPM",
    "MSP": "MSP",
    "BLP": "BLP",
}
_TGA_END: Final = b"TRUEVISION-XFILE.\0"
_TGA_TYPES: Final = frozenset((1, 2, 3, 9, 10, 11))
_TGA_BITS: Final = frozenset((8, 15, 16, 24, 32))
_DNG_VERSION, _MAKE, _SUB_PICTURES, _IS_REDUCED = 50706, 271, 330, 254  # tags of TIFF


def unsupported_picture(data: bytes) -> str | None:
    """Return the name of the kind of a picture that is not supported; None if the content is no picture."""
    if name := next((name for first, name in _FIRST_BYTES.items() if data.startswith(first)), None):
        return name
    if data[4:12] == b"ftypcrx ":
        return "the raw data of a Canon camera"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "the raw data of a camera"  # a TIFF that the signature of a camera excludes from TIFF
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<svg") or (start.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in start):
        return "SVG"
    if _is_tga(data):
        return "TGA"
    return _known_to_pillow(data)


def is_raw(picture: ImageFile) -> bool:
    """Return True for a TIFF with the raw data of a camera (DNG, NEF, ARW, PEF), whose first picture is only a preview."""
    tags = getattr(picture, "tag_v2", {})
    return _DNG_VERSION in tags or (_MAKE in tags and (_SUB_PICTURES in tags or tags.get(_IS_REDUCED) == 1))


def _known_to_pillow(data: bytes) -> str | None:
    from PIL import Image

    Image.init()
    first = data[:16]
    for plugin, name in _OF_PILLOW.items():
        accepts = Image.OPEN.get(plugin, (None, None))[1]
        try:
            if accepts and accepts(first) is True:
                return name
        except (IndexError, struct.error):  # fewer bytes than the test of the plugin reads
            continue
    return None


def _is_tga(data: bytes) -> bool:
    """Return True for a Targa file, which may have no signature: the end of version 2, or a header of plausible values."""
    if data.endswith(_TGA_END):
        return True
    if len(data) < 19 or data[1] > 1 or data[2] not in _TGA_TYPES or data[16] not in _TGA_BITS or data[17] & 0xC0:
        return False
    width, height = struct.unpack_from("<HH", data, 12)
    has_palette = data[1] == 1
    return width > 0 < height and has_palette == (data[2] in (1, 9)) and (has_palette or data[3:8] == bytes(5))
