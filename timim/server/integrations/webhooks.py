"""Client of the operator's back end: one call, its signature, and its reply.

Calls go only to the URLs of the settings. They follow no redirect and use no proxy of the environment, and no content of a user
can name a host.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from ...errors import TimimError
from ...util.outage import OutageLog

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("timim.server")
REPLY_LIMIT_BYTES = 64 * 1024  # five times the size limit of a message
CALLS_AT_ONCE = 64  # connections to one back end; further calls wait


class WebhookFailed(TimimError):
    """The back end did not respond in time, or its response is invalid."""


class ReplyItem(msgspec.Struct, kw_only=True):
    """The decision of the back end about one friend."""

    account: str = msgspec.field(name="To_Account")
    code: int = msgspec.field(name="ResultCode", default=0)
    info: str = msgspec.field(name="ResultInfo", default="")


class WebhookReply(msgspec.Struct, kw_only=True):
    """A response of the back end. ErrorCode 0 accepts; the other fields belong to the callbacks before an event."""

    action_status: str = msgspec.field(name="ActionStatus", default="OK")
    error_code: int = msgspec.field(name="ErrorCode", default=0)
    error_info: str = msgspec.field(name="ErrorInfo", default="")
    msg_body: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="MsgBody", default=msgspec.UNSET)
    cloud_custom_data: str | msgspec.UnsetType = msgspec.field(name="CloudCustomData", default=msgspec.UNSET)
    refused_members: list[str] = msgspec.field(name="RefusedMembers_Account", default_factory=list)
    results: list[ReplyItem] = msgspec.field(name="ResultItem", default_factory=list)


class Webhook:
    """Client of one URL of the operator's back end.

    Args:
        url: The URL.
        token: Key that signs the calls; empty for unsigned calls.
        app_id: SDKAppID of the app.
        timeout_s: Time limit of a call.
        now: The server's clock, in seconds since 1970.
        outage: Log of the back end's outages.
    """

    def __init__(
        self, url: str, token: str, *, app_id: int, timeout_s: float, now: Callable[[], float], outage: OutageLog | None = None
    ) -> None:
        self._url = url
        self._token = token
        self._app_id = app_id
        self._timeout_s = timeout_s
        self._now = now
        self._outage = outage or OutageLog(log, "the back end")
        self._http: httpx2.AsyncClient | None = None

    async def call(
        self, command: str, body: Mapping[str, Any], *, client_ip: str = "", platform: str = "Unknown"
    ) -> WebhookReply:
        """Call the back end, and return its response.

        Raises:
            WebhookFailed: The back end did not respond in time, or not with status 200 and a valid body.
        """
        try:
            reply = await self._call(command, body, client_ip, platform)
        except WebhookFailed as exc:
            self._outage.on_failure(exc.info)
            raise
        self._outage.on_success()
        return reply

    async def _call(self, command: str, body: Mapping[str, Any], client_ip: str, platform: str) -> WebhookReply:
        import httpx2

        content = msgspec.json.encode({"CallbackCommand": command, **body})
        query = {
            "SdkAppid": str(self._app_id),
            "CallbackCommand": command,
            "contenttype": "json",
            "ClientIP": client_ip,
            "OptPlatform": platform,
        }
        headers = {"Content-Type": "application/json"}
        if self._token:
            time = str(int(self._now()))
            query |= {"RequestTime": time, "Sign": hashlib.sha256((self._token + time).encode()).hexdigest()}
            # timim extension: Sign authenticates only the caller, this header also the body
            signed = hmac.new(self._token.encode(), time.encode() + b"\n" + content, hashlib.sha256)
            headers["Timim-Signature"] = signed.hexdigest()
        try:
            async with asyncio.timeout(self._timeout_s):  # of the whole call; httpx limits only each read
                response = await self._post(command, query, content, headers)
        except TimeoutError as exc:
            raise WebhookFailed(f"{command}: the back end did not respond within {self._timeout_s} s") from exc
        except httpx2.HTTPError as exc:
            raise WebhookFailed(f"{command}: the back end cannot be reached ({type(exc).__name__})") from exc
        try:
            return msgspec.json.decode(response, type=WebhookReply)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise WebhookFailed(f"{command}: the response of the back end is invalid: {str(exc)[:100]}") from exc

    async def _post(self, command: str, query: dict[str, str], content: bytes, headers: dict[str, str]) -> bytes:
        response = b""
        url = f"{self._url}{'&' if '?' in self._url else '?'}{urlencode(query)}"
        async with self._client().stream("POST", url, content=content, headers=headers) as reply:
            if reply.status_code != 200:
                raise WebhookFailed(f"{command}: the back end responded with HTTP {reply.status_code} instead of 200")
            async for chunk in reply.aiter_bytes():
                response += chunk
                if len(response) > REPLY_LIMIT_BYTES:
                    raise WebhookFailed(f"{command}: the response of the back end is over {REPLY_LIMIT_BYTES} bytes")
        return response

    async def close(self) -> None:
        """Close the connections to the back end."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    def _client(self) -> httpx2.AsyncClient:
        import httpx2

        if self._http is None:
            limits = httpx2.Limits(max_connections=CALLS_AT_ONCE, max_keepalive_connections=CALLS_AT_ONCE)
            self._http = httpx2.AsyncClient(follow_redirects=False, trust_env=False, limits=limits, timeout=self._timeout_s)
        return self._http
