"""Handlers of translation and of the conversion of voice to text, by functions of the operator."""

from __future__ import annotations

import re
import uuid as uuids

from ...errors import InvalidArgument, MediaError, ServerRefused, TooLarge
from ...protocol import providers as wire
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

CHARACTERS_LIMIT = 20_000
SOUND_LIMIT_BYTES = 8 * 1024 * 1024  # in memory; Tencent's limit is 5 MB
REFUSALS = (InvalidArgument, ServerRefused, MediaError)  # the web client reads them in `CmdErrorCode`, and fails without it
_MEDIA = re.compile(r"/media/([0-9a-f]{32})(?![0-9a-f])")


@HANDLERS.serve(wire.TRANSLATE, paged=True)
async def translate(context: RequestContext, body: wire.TranslateRequest) -> wire.TranslateReply:
    """Translate texts by the operator's translator."""
    try:
        texts = await _translated(context, body)
    except REFUSALS as exc:
        return wire.TranslateReply(action_status="FAIL", error_code=exc.code, error_info=exc.info, error=_error(exc))
    return wire.TranslateReply(texts=texts, request_id=uuids.uuid4().hex)


async def _translated(context: RequestContext, body: wire.TranslateRequest) -> list[str]:
    if not 0 < len(body.texts) <= wire.TEXTS_LIMIT:
        raise InvalidArgument(f"SourceText must have 1 to {wire.TEXTS_LIMIT} texts, not {len(body.texts)}", code=30001)
    if (size := sum(map(len, body.texts))) > CHARACTERS_LIMIT:
        raise InvalidArgument(f"SourceText has {size} characters; the limit is {CHARACTERS_LIMIT}", code=30001)
    if not body.target:
        raise InvalidArgument("Target is empty; name a language such as en", code=30001)
    return await context.services.integrations.providers.translate(body.texts, body.source, body.target)


@HANDLERS.serve(wire.TRANSCRIBE)
async def transcribe(context: RequestContext, body: wire.TranscribeRequest) -> wire.TranscribeReply:
    """Convert a sound that the caller may read to text, by the operator's transcriber."""
    try:
        text = await _transcribed(context, body)
    except REFUSALS as exc:
        return wire.TranscribeReply(action_status="FAIL", error_code=exc.code, error_info=exc.info, error=_error(exc))
    return wire.TranscribeReply(text=text, request_id=uuids.uuid4().hex)


async def _transcribed(context: RequestContext, body: wire.TranscribeRequest) -> str:
    providers, downloads = context.services.integrations.providers, context.services.downloads
    sound, named = b"", _MEDIA.search(body.url)
    if providers.transcribes:
        blob = await downloads.find(named[1] if named else "", context.user)
        if blob.size > SOUND_LIMIT_BYTES:
            raise TooLarge(f"the sound is {blob.size} bytes long; the limit is {SOUND_LIMIT_BYTES}")
        sound = b"".join([chunk async for chunk in downloads.read(blob, 0, blob.size)])
    return await providers.transcribe(sound, body.format, body.language)


def _error(exc: InvalidArgument | ServerRefused | MediaError) -> wire.ProviderError:
    return wire.ProviderError(code=exc.code, info=exc.info)
