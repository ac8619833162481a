"""Sounds and videos of known duration, as small as their formats allow."""

from __future__ import annotations

import io
import math
import struct
import wave


def wav(seconds: float, rate: int = 8000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\0\0" * int(seconds * rate))
    return out.getvalue()


def amr(seconds: float, *, wide: bool = False) -> bytes:
    """Return AMR frames of 20 ms in the highest mode of each kind."""
    magic, mode, size = (b"#!AMR-WB\n", 8, 61) if wide else (b"#!AMR\n", 7, 32)
    return magic + (bytes([mode << 3 | 4]) + bytes(size - 1)) * int(seconds * 50)


def adts(seconds: float, rate_index: int = 4) -> bytes:
    """Return AAC frames of 1024 samples at 44,100 Hz."""
    size = 100
    head = bytes([0xFF, 0xF1, 0x40 | rate_index << 2, 0x40 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 0x1F, 0xFC])
    return (head + bytes(size - 7)) * math.ceil(seconds * 44100 / 1024)


def mp3(seconds: float) -> bytes:
    """Return MPEG 1 layer III at 128 kbit/s and 44,100 Hz: frames of 417 bytes and 1152 samples."""
    return (b"\xff\xfb\x90\x00" + bytes(413)) * math.ceil(seconds * 44100 / 1152)


def variable_mp3(frames: int) -> bytes:
    """Return MPEG 1 layer III without a header: a third of the frames at 32 kbit/s, the others at 4 higher rates in turn."""
    made: list[bytes] = []
    for number in range(frames):
        index, rate = (1, 32) if number < frames // 3 else ((9, 128), (11, 192), (12, 224), (14, 320))[number % 4]
        made.append(bytes([0xFF, 0xFB, index << 4, 0x44]).ljust(144_000 * rate // 44100, b"\0"))
    return b"".join(made)


def flac(seconds: float) -> bytes:
    """Return the header of a FLAC file of 44,100 Hz and its first 5,000 bytes."""
    samples = int(seconds * 44100)
    info = (
        struct.pack(">HH", 4096, 4096) + bytes(6) + (44100 << 44 | 1 << 41 | 15 << 36 | samples).to_bytes(8, "big") + bytes(16)
    )
    return b"fLaC\x80\0\0\x22" + info + b"\xff\xf8" + bytes(5000)


def box(kind: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def mp4(seconds: float, brand: bytes, *, film_first: bool = False) -> bytes:
    times = struct.pack(">IIIII", 0, 0, 0, 1000, int(seconds * 1000))
    moov = box(b"moov", box(b"mvhd", times, bytes(80)))
    mdat = box(b"mdat", bytes(5000))
    return box(b"ftyp", brand, bytes(4), brand) + (mdat + moov if film_first else moov + mdat)


def fragmented_mp4(*, header_seconds: float) -> bytes:
    """Return an MP4 of three fragments, as browsers and streaming recorders write it."""
    times = struct.pack(">IIIII", 0, 0, 0, 1000, int(header_seconds * 1000))
    moov = box(b"moov", box(b"mvhd", times, bytes(80)), box(b"mvex", box(b"trex", bytes(24))))
    return box(b"ftyp", b"iso5", bytes(4), b"iso5") + moov + (box(b"moof", bytes(100)) + box(b"mdat", bytes(3000))) * 3


def ogg(seconds: float) -> bytes:
    """Return a Vorbis stream's first page, which contains the rate, and its last, which contains the number of samples."""

    def page(kind: int, granule: int, number: int, body: bytes) -> bytes:
        head = b"OggS" + struct.pack("<BBqIII", 0, kind, granule, 7, number, 0)
        return head + bytes([1, len(body)]) + body

    first = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 1, 44100, 0, 80000, 0, 0xB8, 1)
    return page(2, 0, 0, first) + page(4, int(seconds * 44100), 1, bytes(200))


SOUNDS = {
    "WAV": wav(7.2),
    "AMR": amr(7.2),
    "AMR-WB": amr(7.2, wide=True),
    "AAC": adts(7.2),
    "MP3": mp3(7.2),
    "M4A": mp4(7.2, b"M4A "),
    "MP4": mp4(7.2, b"isom"),
    "MOV": mp4(7.2, b"qt  "),
    "3GP": mp4(7.2, b"3gp4"),
    "MP4, its table last": mp4(7.2, b"mp42", film_first=True),
    "OGG": ogg(7.2),
}
