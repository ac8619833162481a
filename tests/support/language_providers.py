"""Functions that translate and transcribe in a way that tests can foretell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


async def translate(texts: Sequence[str], source: str, target: str) -> Sequence[str]:
    return [f"{source} to {target}: {text}" for text in texts]


async def transcribe(sound: bytes, format: str, language: str) -> str:
    return f"{len(sound)} bytes of {format} in {language}"


async def never(*arguments: object) -> str:
    await asyncio.Event().wait()
    return ""


async def fewer(texts: Sequence[str], source: str, target: str) -> Sequence[str]:
    return texts[1:]


async def broken(texts: Sequence[str], source: str, target: str) -> Sequence[str]:
    raise ValueError("the secret of the provider")


def blocking(texts: Sequence[str], source: str, target: str) -> Sequence[str]:
    return texts
