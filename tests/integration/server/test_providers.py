"""Tests of translation and voice to text by functions of the operator: their limits, and functions that fail."""

from __future__ import annotations

import pytest

from timim import InvalidArgument, MediaError, ServerFault, ServerRefused, SoundElem
from timim.protocol import providers as wire
from timim.testing import EventRecorder, local_server

PROVIDERS = "tests.support.language_providers"


async def test_texts_and_sounds_are_converted_for_those_who_may_read_them() -> None:
    async with local_server(translator=f"{PROVIDERS}:translate", transcriber=f"{PROVIDERS}:transcribe") as server:
        await server.add_users("bob", "carol")
        bob = server.client("bob")
        heard = EventRecorder(bob)
        async with server.client("alice") as alice, bob, server.client("carol") as carol:
            assert await alice.language.translate(["一"], target="en", source="zh") == ("zh to en: 一",)
            await alice.c2c("bob").send(SoundElem(data=b"12345", duration=1))
            sound = (await heard.wait_for_message())[0]
            assert isinstance(sound, SoundElem)
            assert await bob.language.transcribe(sound, format="mp3", language="en") == "5 bytes of mp3 in en"
            with pytest.raises(MediaError):
                await carol.language.transcribe(sound)
            with pytest.raises(InvalidArgument, match="no URL"):
                await alice.language.transcribe(SoundElem(data=b"1", duration=1))
            for texts, target, reason in (([], "en", "1 to 50"), (["x"] * 51, "en", "1 to 50"), (["x"], "", "Target")):
                with pytest.raises(InvalidArgument, match=reason):
                    await alice.language.translate(texts, target=target)
            with pytest.raises(InvalidArgument, match="20000"):
                await alice.language.translate(["x" * 10_001] * 2, target="en")


async def test_a_function_that_fails_is_an_error_of_the_server() -> None:
    translator, transcriber = f"{PROVIDERS}:fewer", f"{PROVIDERS}:never"
    running = local_server(translator=translator, transcriber=transcriber, provider_timeout_s=0.01)
    async with running as server, server.client("alice") as alice:
        await server.add_users("bob")
        with pytest.raises(ServerFault, match="did not return 2 texts"):
            await alice.language.translate(["one", "two"], target="en")
        sent = await alice.c2c("bob").send(SoundElem(data=b"12345", duration=1))
        sound = sent[0]
        assert isinstance(sound, SoundElem)
        with pytest.raises(ServerFault, match="did not answer within"):
            await alice.language.transcribe(sound)


async def test_an_error_of_a_function_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async with local_server(translator=f"{PROVIDERS}:broken") as server, server.client("alice") as alice:
        with pytest.raises(ServerFault, match="the translator failed") as failed:
            await alice.language.translate(["one"], target="en")
    assert "the secret of the provider" not in failed.value.info
    assert "the secret of the provider" in caplog.text


async def test_a_server_without_functions_refuses_and_names_the_setting() -> None:
    async with local_server() as server, server.client("alice") as alice:
        with pytest.raises(ServerRefused, match="the setting translator") as refused:
            await alice.language.translate(["one"], target="en")
        assert refused.value.code == 60009
        query = wire.TranscribeRequest(url="-")
        with pytest.raises(ServerRefused, match="the setting transcriber"):
            await alice.engine.connection.link().call(wire.TRANSCRIBE, query, timeout_s=5)


@pytest.mark.parametrize("name", ["nothing", "no.module:f", f"{PROVIDERS}:none", f"{PROVIDERS}:blocking", ":f"])
async def test_a_setting_that_names_no_async_function_stops_the_start(name: str) -> None:
    with pytest.raises(InvalidArgument, match="translator"):
        async with local_server(translator=name):
            pass
