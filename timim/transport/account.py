"""The account of a client, read from the environment or from the data folder of a server on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import InvalidArgument
from ..usersig import sign_user
from ..util.server_folder import read_address, read_key
from .signature import UserSig

__all__ = ["Account", "account_from_environment", "account_from_folder"]

DEFAULT_URL = "ws://127.0.0.1:8700"  # of a server of an earlier version, which wrote no address


@dataclass(frozen=True, slots=True)
class Account:
    """The server, the application and the signature with which a client logs in."""

    url: str
    app_id: int
    user_id: str
    user_sig: UserSig


def account_from_environment(environment: Mapping[str, str]) -> Account:
    """Return the account that TIMIM_URL, TIMIM_APP_ID, TIMIM_USER, and TIMIM_USER_SIG or TIMIM_SECRET_KEY describe.

    Raises:
        InvalidArgument: A variable is missing, or TIMIM_APP_ID is not a number; the text names the variables.
    """
    given = {name: value for name, value in environment.items() if name.startswith("TIMIM_") and value}
    missing = [name for name in ("TIMIM_URL", "TIMIM_APP_ID", "TIMIM_USER") if name not in given]
    if not given.keys() & {"TIMIM_USER_SIG", "TIMIM_SECRET_KEY"}:
        missing.append("TIMIM_USER_SIG or TIMIM_SECRET_KEY")
    if missing:
        raise InvalidArgument(f"missing in the environment: {', '.join(missing)}")
    app_id, user_id = given["TIMIM_APP_ID"], given["TIMIM_USER"]
    if not (app_id.isascii() and app_id.isdecimal()):
        raise InvalidArgument(f"TIMIM_APP_ID: must be a number, not {app_id!r:.40}")
    signature = given.get("TIMIM_USER_SIG") or _signer(int(app_id), given["TIMIM_SECRET_KEY"], user_id)
    return Account(given["TIMIM_URL"], int(app_id), user_id, signature)


def account_from_folder(folder: Path, user_id: str) -> Account:
    """Return the account of a user of the server with this data folder.

    Raises:
        InvalidArgument: The folder has no key.
    """
    known = read_key(folder)
    if known is None:
        raise InvalidArgument(
            f"no app key in {folder}/: it must be the data folder of a server that was started, as timim-data"
        )
    app_id, key = known
    return Account(read_address(folder) or DEFAULT_URL, app_id, user_id, _signer(app_id, key, user_id))


def _signer(app_id: int, key: str, user_id: str) -> UserSig:
    """Return a function that makes a signature for each login, so that the client outlives its signatures."""
    return partial(sign_user, app_id, key, user_id)
