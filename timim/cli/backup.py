"""Commands that save and restore the data of a server: backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .console import error_exits, out, print_json
from .lines import shown_size
from .options import AsJson, Folder
from .server_settings import read_settings

app = typer.Typer()


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The new file, which contains the key that signs users.", dir_okay=False)],
    data_dir: Folder = None,
    json: AsJson = False,
) -> None:
    """Copy the data of a server into FILE, while the server may run.

    FILE is a tar archive of the database, the content and the keys. It must not exist.
    """
    settings = read_settings(data_dir=data_dir)
    from .archive import back_up

    with error_exits():
        made = back_up(settings, file)
        if json:
            print_json(type="backup", file=str(file), size=made.size, entries=made.entries, media_files=made.media_files)
        else:
            out.print(
                f"{escape(str(file))}: {shown_size(made.size)}, {made.entries} entries and {made.media_files} files of content",
                soft_wrap=True,
            )


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `timim backup` made.", dir_okay=False)],
    data_dir: Folder = None,
    json: AsJson = False,
) -> None:
    """Make a new data folder from FILE, and let clients compare their history with it.

    The data folder must be missing or empty. Start the server afterwards as usual.
    """
    settings = read_settings(data_dir=data_dir)
    from .archive import restore as restore_archive

    with error_exits():
        made = restore_archive(settings, file)
        folder = str(settings.data_dir)
        if json:
            print_json(type="restored", data_dir=folder, entries=made.entries, media_files=made.media_files)
        else:
            out.print(
                f"{escape(folder)}/: {made.entries} entries and {made.media_files} files of content, with a new epoch",
                soft_wrap=True,
            )
