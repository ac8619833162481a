"""A voice message, and the mark that it was played: Bob's own, kept over restarts, told to nobody."""

import asyncio
import tempfile
from pathlib import Path

from timim import SoundElem
from timim.testing import running_server

SPEECH = Path(__file__).parent / "media" / "hello-zh.wav"
NEW, PLAYED = 0, 1  # custom_int is a number of the application's own; every message begins with 0


async def main() -> None:
    """Alice speaks, Bob plays it once, and finds it played when he starts his program again."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_server() as server, server.client("alice") as alice:
            async with server.client("bob", data_dir=folder) as bob:
                async with bob.c2c("alice").expect(lambda m: isinstance(m[0], SoundElem), timeout=10) as heard:
                    await alice.c2c("bob").send(SoundElem(path=SPEECH))  # how long it is, the file says
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
