"""Functions of the operator that translate texts and convert voice to text. The server has none of its own."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from ...errors import InvalidArgument, ServerFault, ServerRefused
from ..settings import Settings

log = logging.getLogger("timim.server")
Translate: TypeAlias = Callable[[Sequence[str], str, str], Awaitable[Sequence[str]]]
Transcribe: TypeAlias = Callable[[bytes, str, str], Awaitable[str]]
NOT_SERVED = 60009


class Providers:
    """The functions that the settings `translator` and `transcriber` name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._translate: Translate | None = None
        self._transcribe: Transcribe | None = None

    async def open(self) -> None:
        """Import the functions, in a thread.

        Raises:
            InvalidArgument: A function does not exist, or its module cannot be imported.
        """
        if self._settings.translator:
            self._translate = await asyncio.to_thread(_named, "translator", self._settings.translator)
        if self._settings.transcriber:
            self._transcribe = await asyncio.to_thread(_named, "transcriber", self._settings.transcriber)

    async def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts.

        Raises:
            ServerRefused: The operator has set no translator (60009).
            ServerFault: The translator did not answer in time, or with another number of texts.
        """
        if self._translate is None:
            raise _none("translator")
        async with _limited("translator", self._settings.provider_timeout_s):
            translated = [*await self._translate(texts, source, target)]
        if len(translated) != len(texts) or not all(isinstance(text, str) for text in translated):
            raise ServerFault(f"the translator did not return {len(texts)} texts; its operator must correct it")
        return translated

    @property
    def transcribes(self) -> bool:
        """True if the operator has set a transcriber."""
        return self._transcribe is not None

    async def transcribe(self, sound: bytes, format: str, language: str) -> str:
        """Convert a sound to text.

        Raises:
            ServerRefused: The operator has set no transcriber (60009).
            ServerFault: The transcriber did not answer in time.
        """
        if self._transcribe is None:
            raise _none("transcriber")
        async with _limited("transcriber", self._settings.provider_timeout_s):
            text = await self._transcribe(sound, format, language)
        if not isinstance(text, str):
            raise ServerFault("the transcriber did not return a text; its operator must correct it")
        return text


@asynccontextmanager
async def _limited(name: str, limit_s: float) -> AsyncIterator[None]:
    """Limit the time of a provider. Raises ServerFault after it, and for an error of the provider, which is logged."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise ServerFault(f"the {name} did not answer within {limit_s} s; try again later") from None
    except Exception:
        log.exception("the %s failed", name)
        raise ServerFault(f"the {name} failed; see the log of the server, and try again later") from None


def _none(name: str) -> ServerRefused:
    return ServerRefused(f"the server has no {name}; its operator names one by the setting {name}", code=NOT_SERVED)


def _named(setting: str, name: str) -> Any:
    """Return the function `module:function`. Raises InvalidArgument."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as exc:
        raise InvalidArgument(f"{setting}: {name!r} cannot be imported: {exc}; name a function as module:function") from exc
    if not asyncio.iscoroutinefunction(found):
        raise InvalidArgument(f"{setting}: {name!r} must be an async function")
    return found
