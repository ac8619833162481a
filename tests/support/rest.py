"""A back end that calls the REST API of a test server."""

from __future__ import annotations

import json
from typing import Any, Self

import httpx2

import timim
from tests.support.gateways import next_gateway
from timim.testing import LocalServer, RunningServer

TEXT = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hello"}}]


def text(content: str) -> list[dict[str, Any]]:
    """Return a MsgBody with one text."""
    return [{"MsgType": "TIMTextElem", "MsgContent": {"Text": content}}]


class RestClient:
    """A client of the REST API, which signs each request as an administrator. Its requests go to the gateways in turns."""

    def __init__(self, server: RunningServer | LocalServer, *, admin: str = "administrator") -> None:
        self._server = server
        self.admin = admin
        self._http = httpx2.AsyncClient(trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    def query(self, **given: str | None) -> dict[str, str]:
        """Return the query of a request; `given` replaces its parameters, and None removes one."""
        signature = timim.sign_user(self._server.app_id, self._server.secret_key, self.admin)
        query: dict[str, str | None] = {
            "sdkappid": str(self._server.app_id),
            "identifier": self.admin,
            "usersig": signature,
            "random": "99999999",
            "contenttype": "json",
        }
        return {name: value for name, value in (query | given).items() if value is not None}

    async def call(
        self, command: str, body: dict[str, Any] | bytes | None = None, *, method: str = "POST", **query: Any
    ) -> dict[str, Any]:
        """Call a command (`service/name`), and return its reply, which must have status 200."""
        url = next_gateway(self._server).replace("ws", "http", 1) + f"/v4/{command}"
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        response = await self._http.request(method, url, params=self.query(**query), content=content)
        assert response.status_code == 200, (command, response.status_code, response.text)
        reply: dict[str, Any] = response.json()
        assert (reply["ActionStatus"] == "OK") == (reply["ErrorCode"] == 0), reply
        return reply

    async def get(self, path: str) -> str:
        """Return the text of another page of the server, of its first gateway."""
        return (await self._http.get(self._server.url.replace("ws", "http", 1) + path)).text

    async def done(self, command: str, body: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        """Call a command that must succeed."""
        reply = await self.call(command, body, **options)
        assert reply["ErrorCode"] == 0, (command, reply)
        return reply
