"""Bodies of translation and of the conversion of voice to text, which a function of the operator does."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import Body, Command, Reply
from .numbers import Int, at_most

TEXTS_LIMIT = 50


class ProviderError(msgspec.Struct, kw_only=True):
    """The code and text of a provider's error; 0 for none."""

    code: Int = msgspec.field(name="ErrorCode", default=0)
    info: str = msgspec.field(name="ErrorInfo", default="")


class TranslateRequest(Body):
    """Texts to translate, from a language or from `auto`, into another one."""

    texts: Annotated[list[str], at_most(TEXTS_LIMIT)] = msgspec.field(name="SourceText", default_factory=list)
    source: str = msgspec.field(name="Source", default="auto")
    target: str = msgspec.field(name="Target", default="")


class TranslateReply(Reply):
    """The translations, in the order of the request."""

    texts: list[str] = msgspec.field(name="TargetText", default_factory=list)
    request_id: str = msgspec.field(name="RequestId", default="")
    error: ProviderError = msgspec.field(name="CmdErrorCode", default_factory=ProviderError)


class TranscribeRequest(Body):
    """A sound of this server's media, by its URL; its format, such as `mp3`, and a name of the language."""

    url: str = msgspec.field(name="BytesUrl", default="")
    format: str = msgspec.field(name="BytesVoiceFormat", default="")
    language: str = msgspec.field(name="BytesEngServiceType", default="")


class TranscribeReply(Reply):
    """The text of the sound."""

    text: str = msgspec.field(name="BytesResult", default="")
    request_id: str = msgspec.field(name="BytesRequestid", default="")
    error: ProviderError = msgspec.field(name="CmdErrorCode", default_factory=ProviderError)


TRANSLATE = Command("im_open_translate.ws_batch_trans_text", TranslateRequest, TranslateReply)
TRANSCRIBE = Command("im_open_speech.ws_sentence_recognition", TranscribeRequest, TranscribeReply)
