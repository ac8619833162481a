"""The REST API of a running server, for the commands of operators, and the options that these commands share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import httpx2
import msgspec
import typer

from timim import ConnectionFailed, InvalidArgument, ProtocolError, sign_user

from ..protocol.codec import Reply, decode_reply
from .options import DATA, AppId, AsJson, DataDir, SigFile, Url, read_app_key, read_secret, server_url

REPLY_S = 60.0

Admin = Annotated[str, typer.Option("--as", help="The server's setting `admin`, or one of `admins`.", envvar="TIMIM_ADMIN")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


class RestDoor:
    """A client of the REST API, which signs each request as an administrator.

    Args:
        url: URL of the server, with http:// or https://.
        query: The query that identifies the app and the administrator; it has the signature.
    """

    def __init__(self, url: str, query: Mapping[str, str]) -> None:
        self._url = url
        self._query = query
        self._http = httpx2.AsyncClient(base_url=url, timeout=REPLY_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    async def call(self, command: str, **body: object) -> dict[str, Any]:
        """Call a command (`service/name`), and return its reply.

        Args:
            command: Service and name.
            **body: The fields of the request.

        Raises:
            ServerRefused: The server refused the request.
            AuthError: The administrator's signature is invalid, or the account is no administrator.
            ConnectionFailed: The server cannot be reached, or did not answer.
            ProtocolError: The reply is not one of a timim server.
        """
        try:
            response = await self._http.post(f"/v4/{command}", params=self._query, content=msgspec.json.encode(body))
        except httpx2.HTTPError as exc:  # without its text, which may have the query
            raise ConnectionFailed(f"the server at {self._url} did not answer ({type(exc).__name__})") from None
        if response.status_code != 200:
            raise ProtocolError(f"the server at {self._url} has no REST API: it answered with HTTP {response.status_code}")
        decode_reply(Reply, response.content)
        reply: dict[str, Any] = response.json()
        return reply


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminOptions:
    """The administrator and the server that a command uses. Each field is a command-line option."""

    admin: Admin = "administrator"
    url: Url = ""
    sig_file: SigFile = ""
    app_id: AppId = 0
    data_dir: DataDir = DATA
    json: AsJson = False

    def signed(self) -> tuple[int, str]:
        """Return the app id and the administrator's UserSig, made with the key of the environment or of the data folder.

        Raises:
            InvalidArgument: There is no UserSig, and no key to make one.
        """
        key, app_id = os.environ.get("TIMIM_SECRET_KEY", ""), self.app_id
        sig = read_secret(self.sig_file, "TIMIM_USER_SIG", "UserSig")
        if not app_id or not (sig or key):
            known_id, known_key = read_app_key(self.data_dir)
            app_id, key = app_id or known_id, key or known_key
        return app_id, sig or sign_user(app_id, key, self.admin)

    def door(self) -> RestDoor:
        """Return a client of the server's REST API.

        Raises:
            InvalidArgument: The URL has another form, or there is no key to sign with.
        """
        url = self.url or server_url(self.data_dir)
        scheme, _, rest = url.partition("://")
        if scheme not in ("ws", "wss", "http", "https") or not rest:
            raise InvalidArgument(f"{url!r} is no URL of a server; it begins with ws:// or wss://")
        app_id, sig = self.signed()
        query = {"sdkappid": str(app_id), "identifier": self.admin, "usersig": sig, "contenttype": "json"}
        return RestDoor(f"{scheme.replace('ws', 'http')}://{rest.rstrip('/')}", query)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Raises:
        Abort: The answer is no.
    """
    if not yes:
        typer.confirm(question, abort=True, err=True)
