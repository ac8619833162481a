"""Tests of translation and of voice to text on the web, with a provider and without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.webclient import WebError, the, web_client
from timim import ServerRefused, SoundElem
from timim.testing import EventRecorder, running_server

pytestmark = pytest.mark.judge
PROVIDERS = "tests.support.language_providers"


async def test_texts_and_voice_are_converted_by_the_functions_of_the_operator(tmp_path: Path) -> None:
    settings = {"translator": f"{PROVIDERS}:translate", "transcriber": f"{PROVIDERS}:transcribe"}
    async with running_server(data_dir=tmp_path / "server", **settings) as server:
        await server.add_users("bob")
        bob = server.client("bob")
        heard = EventRecorder(bob)
        async with bob, web_client(server, "alice") as alice, web_client(server, "bob") as other:
            await alice.login()
            await other.login()
            asked = {"sourceTextList": ["one", "two"], "sourceLanguage": "en", "targetLanguage": "zh"}
            assert (await alice.call("translateText", asked))["translatedTextList"] == ["en to zh: one", "en to zh: two"]
            assert await bob.language.translate(["one"], target="zh") == ("auto to zh: one",)
            path = tmp_path / "voice.mp3"
            path.write_bytes(b"ID3" + b"\0" * 97)
            sent = await alice.send("audio", "bob", {"path": str(path), "type": "audio/mpeg"})
            voice = {"message": the(sent["ID"]), "language": "en-US"}
            assert (await alice.call("convertVoiceToText", voice))["result"] == "100 bytes of mp3 in 16k_en"
            (received,) = await other.told("onMessageReceived", lambda data: data[0]["type"] == "TIMSoundElem")
            voice = {"message": the(received["ID"])}
            assert (await other.call("convertVoiceToText", voice))["result"] == "100 bytes of mp3 in 16k_zh-PY"
            sound = (await heard.wait_for_message(lambda m: isinstance(m[0], SoundElem)))[0]
            assert isinstance(sound, SoundElem)
            assert await bob.language.transcribe(sound, format="mp3", language="en") == "100 bytes of mp3 in en"


async def test_without_a_provider_conversions_are_refused(tmp_path: Path) -> None:
    async with (
        running_server(data_dir=tmp_path / "server") as server,
        server.client("bob") as bob,
        web_client(server, "alice") as alice,
    ):
        await alice.login()
        with pytest.raises(WebError, match="no translator") as refused:
            await alice.call("translateText", {"sourceTextList": ["one"], "sourceLanguage": "en", "targetLanguage": "zh"})
        assert refused.value.code == 60009
        with pytest.raises(ServerRefused, match="no translator"):
            await bob.language.translate(["one"], target="zh")
