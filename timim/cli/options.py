"""Options that most commands share: the account, and its server."""

from __future__ import annotations

import getpass
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from timim import Client, Conversation, InvalidArgument, sign_user

from ..util.server_folder import read_address, read_key

DATA = Path("timim-data")
URL = "ws://127.0.0.1:8700"

Folder = Annotated[Path | None, typer.Option("--data-dir", help="Data folder of the server; by default the setting data_dir.")]
DataDir = Annotated[Path, typer.Option(help="The server's data folder.", envvar="TIMIM_DATA_DIR")]
Url = Annotated[
    str,
    typer.Option(
        help="URL of the server; by default read from the data folder.", envvar="TIMIM_URL", show_default="ws://127.0.0.1:8700"
    ),
]
User = Annotated[str, typer.Option("--as", help="Account of the client.", envvar="TIMIM_USER")]
SigFile = Annotated[
    str,
    typer.Option(
        help="File of the account's UserSig, or - to ask for it; by default TIMIM_USER_SIG, or signed with the server's key."
    ),
]
AppId = Annotated[int, typer.Option(help="App id; by default read from the data folder.", envvar="TIMIM_APP_ID")]
Kept = Annotated[str, typer.Option(help="Folder of the client's messages; :memory: for none, empty for the default folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
IsGroup = Annotated[bool, typer.Option("--group", help="PEER is a group.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOptions:
    """The account and server that a command uses. Each field is a command-line option."""

    user: User
    url: Url = ""
    sig_file: SigFile = ""
    app_id: AppId = 0
    data_dir: DataDir = DATA
    kept: Kept = ""
    json: AsJson = False

    def create_client(self) -> Client:
        """Create a client that is not logged in yet.

        Raises:
            InvalidArgument: No UserSig was given, and the data folder has no key to make one.
        """
        app_id, sig = self.app_id, read_secret(self.sig_file, "TIMIM_USER_SIG", "UserSig")
        if not sig or not app_id:
            known_id, key = read_app_key(self.data_dir)
            app_id = app_id or known_id
            sig = sig or sign_user(app_id, key, self.user)
        return Client(
            self.url or server_url(self.data_dir), app_id=app_id, user_id=self.user, user_sig=sig, data_dir=self.kept or None
        )


def read_secret(file: str, variable: str, name: str) -> str:
    """Return a secret from a file, from the terminal or standard input if the file is "-", or from the environment.

    Secrets are no arguments of commands, because every account of the machine can list those.

    Args:
        file: The name of the file; "" for the environment.
        variable: The environment variable.
        name: What is asked for at the terminal.

    Raises:
        InvalidArgument: The file cannot be read, or has no text.
    """
    if not file:
        return os.environ.get(variable, "")
    try:
        if file == "-":
            text = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline()
        else:
            text = Path(file).read_text()
    except (OSError, UnicodeDecodeError, EOFError) as exc:
        # without the value: it can be the secret itself, given by mistake
        raise InvalidArgument(
            f"the file of the {name} cannot be read ({type(exc).__name__}); give its name, or - to be asked"
        ) from None
    if not text.strip():
        raise InvalidArgument(f"there is no {name} in the file")
    return text.strip()


def server_url(data_dir: Path) -> str:
    """Return the URL of the server that used the data folder last, or the default one."""
    return read_address(data_dir) or URL


def read_app_key(data_dir: Path) -> tuple[int, str]:
    """Read the app id and the signing key from a server's data folder.

    Raises:
        InvalidArgument: The folder has no key.
    """
    known = read_key(data_dir)
    if known is None:
        raise InvalidArgument(
            f"no app key in {data_dir}/: set --data-dir to the server's data folder, or give --app-id and --sig-file"
        )
    return known


def with_account(*, kept: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the account options to a command and passes them as its first argument.

    Args:
        kept: The default of `--kept`.
    """
    return with_options(AccountOptions, kept=kept, user=inspect.Parameter.empty)


def with_options(options: type[Any], **defaults: object) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the fields of a class to a command as options, and passes an object as its first argument.

    Args:
        options: A dataclass, each field of which is a command-line option.
        **defaults: The defaults of fields that differ from those of the class.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        types = get_type_hints(options, include_extras=True)
        added = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(field.name, field.default),
                annotation=types[field.name],
            )
            for field in fields(options)
        ]
        signature = inspect.signature(command, eval_str=True)
        own = list(signature.parameters.values())[1:]

        @wraps(command)
        def wrapped(**given: Any) -> None:
            command(options(**{option.name: given.pop(option.name) for option in added}), **given)

        parameters = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *added]
        wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapped

    return decorate


def get_conversation(client: Client, peer: str, group: bool) -> Conversation:
    """Return the conversation named by PEER and --group."""
    return client.group(peer) if group else client.c2c(peer)
