"""Commands for operators that end the logins of a user, on a running server: users kick, users revoke."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.markup import escape

from timim import Client, sign_user

from ..protocol.administration import END_LOGINS, EndLoginsRequest
from .console import out, print_json, run_command
from .options import DATA, AppId, AsJson, DataDir, SigFile, Url, read_app_key, read_secret, server_url

HELP = "Manage the accounts of a running server, as its administrator."

app = typer.Typer(help=HELP, no_args_is_help=True)

User = Annotated[str, typer.Argument(help="User id.")]
Admin = Annotated[str, typer.Option("--as", help="The server's setting `admin`.", envvar="TIMIM_ADMIN")]


@app.command()
def kick(
    user: User,
    admin: Admin = "administrator",
    url: Url = "",
    sig_file: SigFile = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    json: AsJson = False,
) -> None:
    """End all logins of USER, and their tokens; USER can log in again with the same UserSig.

    The sockets are cut on all servers of a cluster within a second.
    """
    run_command(_end_logins(admin_client(admin, url, sig_file, app_id, data_dir), user, revoke=False, json=json))


@app.command()
def revoke(
    user: User,
    admin: Admin = "administrator",
    url: Url = "",
    sig_file: SigFile = "",
    app_id: AppId = 0,
    data_dir: DataDir = DATA,
    json: AsJson = False,
) -> None:
    """End all logins of USER, their tokens, and every UserSig that was made until now.

    USER needs a new UserSig to log in again. The sockets are cut on all servers of a cluster within a second.
    """
    run_command(_end_logins(admin_client(admin, url, sig_file, app_id, data_dir), user, revoke=True, json=json))


def admin_client(admin: str, url: str, sig_file: str, app_id: int, data_dir: DataDir) -> Client:
    """Create the client of an administrator, signed with the key of the data folder or of the environment.

    Raises:
        InvalidArgument: There is no UserSig, and no key to make one.
    """
    key, sig = os.environ.get("TIMIM_SECRET_KEY", ""), read_secret(sig_file, "TIMIM_USER_SIG", "UserSig")
    if not sig and not (key and app_id):
        known_id, key = read_app_key(data_dir)
        app_id = app_id or known_id
    sig = sig or sign_user(app_id, key, admin)
    return Client(url or server_url(data_dir), app_id=app_id, user_id=admin, user_sig=sig, data_dir=":memory:")


async def _end_logins(client: Client, user: str, *, revoke: bool, json: bool) -> None:
    async with client:
        reply = await client.engine.connection.call(END_LOGINS, EndLoginsRequest(user=user, revoke=int(revoke)))
    if json:
        print_json(type="kicked", user=user, revoked=revoke, sessions=reply.sessions)
        return
    done = "revoked the signatures and ended the logins of" if revoke else "ended the logins of"
    out.print(f"{done} {escape(user)}; sessions cut on this server: {reply.sessions}", soft_wrap=True)
