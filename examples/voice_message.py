"""A voice message, and a "played" mark on it that is local to Bob's device and survives restarts."""

import asyncio
import tempfile
from pathlib import Path

from timim import SoundElem
from timim.testing import running_server

SPEECH = Path(__file__).parent / "media" / "hello-zh.wav"
NEW, PLAYED = 0, 1  # custom_int belongs to the application; it is 0 for every new message


async def main() -> None:
    """Send a voice message from Alice; Bob plays it once, and finds it marked as played after a restart."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_server() as server, server.client("alice") as alice:
            async with server.client("bob", data_dir=folder) as bob:
                async with bob.c2c("alice").expect(lambda m: isinstance(m[0], SoundElem), timeout=10) as heard:
                    await alice.c2c("bob").send(SoundElem(path=SPEECH))  # the duration is read from the file
                message = await heard
                sound = message[0]
                assert isinstance(sound, SoundElem)
                print(f"Bob sees a {'new' if message.custom_int == NEW else 'played'} voice message of {sound.duration} s")
                speech = await sound.read()
                print(f"… plays its {len(speech)} bytes, and marks it")
                await message.set_custom_int(PLAYED)
            async with server.client("bob", data_dir=folder) as bob:
                again = await anext(bob.c2c("alice").history(limit=1))
                print(f"after a restart it is {'played' if again.custom_int == PLAYED else 'new'}")
                assert again.custom_int == PLAYED


if __name__ == "__main__":
    asyncio.run(main())
