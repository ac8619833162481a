"""Translations and texts of sounds, which a server makes whose operator has set a provider."""

from __future__ import annotations

from collections.abc import Sequence

from ..elems import SoundElem
from ..errors import InvalidArgument
from ..protocol import providers as wire
from ..transport.connection import Connection
from ..util.arguments import Items, Text, checked
from ..util.displayed import Displayed

__all__ = ["Language"]


@checked(InvalidArgument)
class Language(Displayed):
    """Translations and texts of sounds: `client.language`.

    Raises:
        ServerRefused: The server has no provider (60009).
        ServerFault: The provider failed or did not answer in time; try again later.
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def translate(self, texts: Items[Text], *, target: Text, source: Text = "auto") -> Sequence[str]:
        """Translate 1 to 50 texts of up to 20,000 characters together.

        Args:
            texts: The texts.
            target: The language of the translations, such as `en`.
            source: The language of the texts; `auto` lets the provider find out.

        Raises:
            InvalidArgument: There are no texts, too many, or no target (30001).
            ServerRefused: The server has no translator (60009).
            ServerFault: The translator failed.
        """
        body = wire.TranslateRequest(texts=list(texts), source=source, target=target)
        return tuple((await self._connection.call(wire.TRANSLATE, body)).texts)

    async def transcribe(self, sound: SoundElem, *, language: Text = "", format: Text = "") -> str:
        """Convert the sound of a sent or received message to text.

        Args:
            sound: The elem, of at most 8 MiB.
            language: A name of the language that the provider knows.
            format: The format of the sound, such as `mp3`.

        Raises:
            InvalidArgument: The elem was neither sent nor received.
            ServerRefused: The server has no transcriber (60009).
            ServerFault: The transcriber failed.
            MediaError: The server does not have the sound, or this account may not read it.
        """
        if not sound.url:
            raise InvalidArgument("the sound has no URL; use the elem of a sent or received message")
        body = wire.TranscribeRequest(url=sound.url, format=format, language=language)
        return (await self._connection.call(wire.TRANSCRIBE, body)).text
