"""Tests in a real Jupyter kernel: cells that run again, output of handlers, interrupts, restarts, tracebacks and pictures."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.kernel import Kernel, running_kernel
from tests.support.paths import MEDIA
from timim import FileElem, ImageElem
from timim.testing import RunningServer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::DeprecationWarning:jupyter_client"),
    pytest.mark.requirement("P08"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kernel(shared_server: RunningServer) -> AsyncIterator[Kernel]:
    await shared_server.add_users("alice", "bob", "carol", "dave")
    async with running_kernel() as kernel:
        yield kernel


def login(server: RunningServer, folder: Path, user: str = "alice") -> str:
    """Return the code of a cell that logs a user in."""
    return f"""
import timim
sig = timim.sign_user({server.app_id}, {server.secret_key!r}, {user!r})
{user} = timim.Client({server.url!r}, app_id={server.app_id}, user_id={user!r}, user_sig=sig, data_dir={str(folder)!r})
await {user}.login()
"""


async def test_the_cell_of_the_login_can_run_again(shared_server: RunningServer, kernel: Kernel, tmp_path: Path) -> None:
    cell = login(shared_server, tmp_path)
    assert (await kernel.run(cell + "first = alice")).traceback == []
    again = await kernel.run(cell + "await alice.c2c('bob').send('still here'); print(first, alice)")
    assert again.traceback == []
    assert "<Client alice logged out, 0 sending> <Client alice online, 0 sending>" in again.text
    await kernel.run("await alice.close()")


async def test_a_client_whose_loop_has_ended_does_not_keep_its_folder(
    shared_server: RunningServer, kernel: Kernel, tmp_path: Path
) -> None:
    left = await kernel.run(
        "import asyncio, timim\n"
        f"sig = timim.sign_user({shared_server.app_id}, {shared_server.secret_key!r}, 'alice')\n"
        f"lost = timim.Client({shared_server.url!r}, app_id={shared_server.app_id}, user_id='alice', user_sig=sig, "
        f"data_dir={str(tmp_path)!r})\n"
        "await asyncio.to_thread(asyncio.run, lost.open())"
    )
    assert left.traceback == []
    assert (await kernel.run(login(shared_server, tmp_path) + "await alice.close()")).traceback == []


async def test_another_process_with_the_folder_gets_a_short_error(
    shared_server: RunningServer, kernel: Kernel, tmp_path: Path
) -> None:
    async with shared_server.client("alice", data_dir=tmp_path):
        refused = await kernel.run(login(shared_server, tmp_path))
        assert "close that client, or give another data_dir" in "\n".join(refused.traceback)
        assert len(refused.traceback) <= 15, "\n".join(refused.traceback)
    assert (await kernel.run(login(shared_server, tmp_path) + "await alice.close()")).traceback == []


HANDLER = """
import asyncio
seen = asyncio.Event()

@alice.on_new_message
async def show(messages):
    print("handler {number}:", [message.text for message in messages])
    seen.set()
    if messages[0].text == "fail":
        raise ValueError("the handler failed")
"""
WAIT = """
seen.clear()
await bob.c2c("alice").send({text!r})
await asyncio.wait_for(seen.wait(), 10)
await asyncio.sleep(0)
print("end of the cell")
"""


async def test_a_handler_is_replaced_and_writes_into_the_cell_that_runs(
    shared_server: RunningServer, kernel: Kernel, tmp_path: Path
) -> None:
    cells = login(shared_server, tmp_path), login(shared_server, tmp_path, "bob")
    for cell in cells:
        assert (await kernel.run(cell)).traceback == []
    for number in (1, 2):
        assert (await kernel.run(HANDLER.format(number=number))).traceback == []
    said = await kernel.run(WAIT.format(text="hello"))
    assert said.text == "handler 2: ['hello']\nend of the cell\n"
    failed = await kernel.run(WAIT.format(text="fail"))
    assert "ValueError: the handler failed" in failed.text
    # a router, and a change from lists to single messages
    changed = HANDLER.format(number=3).replace("on_new_message", "on_message").replace("(messages)", "(one)")
    await kernel.run(changed.replace("print", "messages = [one]; print"))
    assert (await kernel.run(WAIT.format(text="again"))).text == "handler 3: ['again']\nend of the cell\n"
    await kernel.run("await alice.close(); await bob.close()")


async def test_the_cell_of_a_router_can_run_again(kernel: Kernel) -> None:
    cell = """
import timim
router = globals().get("router") or timim.Router()

@router.message(timim.F.text == "a")
async def first(message): print({number}, "first")

@router.message()
async def rest(message): print({number}, "rest")
"""
    for number in (1, 2):
        await kernel.run(cell.format(number=number))
    fed = await kernel.run("await router.feed(timim.Message('a')); await router.feed(timim.Message('b'))")
    assert fed.text == "2 first\n2 rest\n"


async def test_a_new_router_under_the_same_name_replaces_the_earlier_one(
    shared_server: RunningServer, kernel: Kernel, tmp_path: Path
) -> None:
    for user in ("alice", "bob"):
        await kernel.run(login(shared_server, tmp_path, user))
    cell = """
import asyncio
router, seen = timim.Router(), asyncio.Event()

@router.message()
async def answer(message): print("router {number}:", message.text)

alice.on_message(router.feed)
"""
    for number in (1, 2):
        await kernel.run(cell.format(number=number))
    kept = """
kept = timim.Router()

@kept.message()
async def last(message):
    print("kept:", message.text)
    seen.set()

alice.on_message(kept.feed)
"""
    await kernel.run(kept)
    said = await kernel.run(WAIT.format(text="hello"))
    assert said.text == "router 2: hello\nkept: hello\nend of the cell\n"
    await kernel.run("await alice.close(); await bob.close()")


async def test_a_traceback_of_an_error_is_short(kernel: Kernel) -> None:
    failed = await kernel.run(
        "import timim\n"
        "nobody = timim.Client('ws://127.0.0.1:1', app_id=1, user_id='ann', user_sig='x', data_dir=':memory:')\n"
        "async with nobody:\n    pass"
    )
    text = "\n".join(failed.traceback)
    assert "ConnectionFailed" in text
    assert "async with nobody" in text
    assert "caused by" in text
    assert "timim/engine" not in text
    assert len(failed.traceback) <= 15, text
    await kernel.run("%xmode Verbose")
    full = await kernel.run("await nobody.login()")
    assert len(full.traceback) > 60
    await kernel.run("%xmode Context")


async def test_an_interrupted_download_leaves_no_file_and_a_client_that_works(
    shared_server: RunningServer, kernel: Kernel, tmp_path: Path
) -> None:
    async with shared_server.client("carol") as carol:
        sent = await carol.c2c("alice").send(FileElem(data=bytes(4_000_000), filename="big.bin"))
    assert (await kernel.run(login(shared_server, tmp_path / "store"))).traceback == []
    folder = tmp_path / "downloads"
    folder.mkdir()
    cell = f"""
import time
elem = (await alice.c2c("carol").get_messages(1))[0][0]
def slow(done, total):
    print("downloading")
    time.sleep(0.3)
await elem.download({str(folder / "big.bin")!r}, progress=slow)
"""
    stopped = await kernel.run(cell, interrupt_at="downloading")
    assert any("KeyboardInterrupt" in line or "CancelledError" in line for line in stopped.traceback)
    assert list(folder.iterdir()) == []
    after = await kernel.run(f"path = await elem.download({str(folder)!r}); print(path.stat().st_size)")
    assert after.text == f"{sent[0].size}\n"  # type: ignore[union-attr]
    await kernel.run("await alice.close()")


async def test_a_picture_is_shown_again_when_its_thumbnail_has_been_fetched(
    shared_server: RunningServer, kernel: Kernel, tmp_path: Path
) -> None:
    async with shared_server.client("carol") as carol:
        await carol.c2c("dave").send("look", ImageElem(path=MEDIA / "rocket.jpg"))
    await kernel.run(login(shared_server, tmp_path, "dave"))
    shown = await kernel.run("page = await dave.c2c('carol').get_messages(1)\npage")
    assert "<img" not in shown.data[0]["text/html"]
    assert shown.data[0]["text/plain"].startswith("<Page 1 messages")
    update = shown.updates[-1] if shown.updates else await kernel.next_update()
    assert '<img src="data:image/jpeg;base64,' in update["text/html"]
    assert '<img src="data:image/jpeg' in (await kernel.run("page")).data[0]["text/html"]
    assert (await kernel.run("_")).data[0]["text/plain"].startswith("<Page 1 messages")
    await kernel.run("await dave.close()")


BARS = """
from timim import FileElem, ProgressBar
folder = {folder!r}
with ProgressBar("<up>") as bar:
    sent = await alice.c2c("bob").send(FileElem(data=bytes(3_000_000), filename="x.bin"), progress=bar)
with ProgressBar("down") as bar:
    await sent[0].download(folder, progress=bar)
with ProgressBar("history", unit="messages") as bar:
    read = [message async for message in bar.track(alice.c2c("bob").history(limit=500), 500)]
with ProgressBar("frame", unit="messages") as bar:
    frame = await alice.c2c("bob").to_dataframe(progress=bar)
with ProgressBar("missing", unit="messages") as bar:
    await alice.c2c("bob").fetch_missing(bar)
print(len(read) == len(frame))
"""


async def test_bars_of_uploads_downloads_and_the_history_are_elements_that_change(
    shared_server: RunningServer, kernel: Kernel, tmp_path: Path
) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    await kernel.run(login(shared_server, tmp_path / "store"))
    shown = await kernel.run(BARS.format(folder=str(folder)))
    assert (shown.traceback, shown.text) == ([], "True\n")
    assert [data["text/plain"] for data in shown.data] == ["<up>", "down", "history", "frame", "missing"]
    ends: dict[str, str] = {}
    for data in shown.updates:
        ends[data["text/plain"].split()[0]] = data["text/html"]
    assert ends["<up>"] == "&lt;up&gt; <progress value='3000000' max='3000000'></progress> 3.0 of 3.0 MB"
    assert ends["down"] == "down <progress value='3000000' max='3000000'></progress> 3.0 of 3.0 MB"
    for bar in ("history", "frame"):
        assert ends[bar].endswith(" messages")
        assert "<progress value='" in ends[bar]
    await kernel.run("await alice.close()")


async def test_after_a_restart_the_same_cells_work(shared_server: RunningServer, kernel: Kernel, tmp_path: Path) -> None:
    cell = login(shared_server, tmp_path)
    assert (await kernel.run(cell + "alice.c2c('bob').wait_for(lambda message: True)")).traceback == []
    started = "from timim.testing import running_server\nserver = await running_server().__aenter__()\nprint(server.pid)"
    process = os.pidfd_open(int((await kernel.run(started)).text))
    await kernel.restart()
    ended, _, _ = await asyncio.to_thread(select.select, [process], [], [], 30)
    os.close(process)
    assert ended, "the server of the killed kernel still runs"
    again = await kernel.run(cell + "sent = await alice.c2c('bob').send('after the restart'); print(sent.status.name)")
    assert again.traceback == []
    assert again.text == "SUCCEEDED\n"
    await kernel.run("await alice.close()")
