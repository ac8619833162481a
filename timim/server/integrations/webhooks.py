"""Calls to the operator's back end: the callback before a message is stored, and the reports of other events.

Calls go only to the URLs of the settings. They follow no redirect and use no proxy of the environment, and no content of a user
can name a host.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import msgspec

from ...errors import ServerRefused, TimimError
from ...util.outage import OutageLog

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("timim.server")
REPLY_LIMIT_BYTES = 64 * 1024  # five times the size limit of a message
CALLS_AT_ONCE = 64  # connections to one back end; further calls wait
STATES_LIMIT = 10_000
STATE = "State.StateChange"
Action = Literal["Login", "Logout", "Disconnect"]
DENIED_C2C, DENIED_GROUP = 20006, 10016


class WebhookFailed(TimimError):
    """The back end did not respond in time, or its response is invalid."""


class WebhookReply(msgspec.Struct, kw_only=True):
    """A response of the back end. ErrorCode 0 accepts a message; MsgBody and CloudCustomData replace those of the message."""

    action_status: str = msgspec.field(name="ActionStatus", default="OK")
    error_code: int = msgspec.field(name="ErrorCode", default=0)
    error_info: str = msgspec.field(name="ErrorInfo", default="")
    msg_body: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="MsgBody", default=msgspec.UNSET)
    cloud_custom_data: str | msgspec.UnsetType = msgspec.field(name="CloudCustomData", default=msgspec.UNSET)


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

    async def call(self, command: str, body: Mapping[str, Any], *, client_ip: str = "", platform: str = "Web") -> WebhookReply:
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


class ApprovedMessage(msgspec.Struct, frozen=True, gc=False):
    """The content with which a message may be stored."""

    msg_body: msgspec.Raw
    cloud_custom_data: str


class BeforeSendWebhook:
    """Makes the callback before a message is stored.

    Args:
        webhook: Client of the back end.
        commands: Callbacks that the settings name.
        required: Refuse messages while the back end does not respond, instead of accepting them.
    """

    def __init__(self, webhook: Webhook, commands: frozenset[str], *, required: bool) -> None:
        self._webhook = webhook
        self._commands = commands
        self._required = required

    def applies(self, *, group: bool) -> bool:
        """Return True if messages to groups, or C2C messages, need the callback."""
        return _BEFORE[group] in self._commands

    async def ask(
        self, facts: Mapping[str, Any], body: msgspec.Raw, cloud_custom_data: str, *, group: bool, platform: str = "Web"
    ) -> ApprovedMessage:
        """Ask the back end about a message, and return the content that may be stored.

        Raises:
            ServerRefused: The back end refused the message, with its own code (120001 to 130000) or 20006 (C2C) and 10016
                (group). If `required`, also because the back end did not respond.
        """
        denied = DENIED_GROUP if group else DENIED_C2C
        try:
            content = {**facts, "MsgBody": body, "CloudCustomData": cloud_custom_data}
            verdict = await self._webhook.call(_BEFORE[group], content, platform=platform)
        except WebhookFailed as exc:
            if self._required:
                text = "the operator's back end did not respond; the message was not stored, send it again later"
                raise ServerRefused(text, code=denied) from exc
            log.warning("accepted a message of %s although the callback failed: %s", facts["From_Account"], exc.info)
            return ApprovedMessage(body, cloud_custom_data)
        if verdict.error_code:
            own = 120_001 <= verdict.error_code <= 130_000
            info = verdict.error_info or "the operator's back end refused the message without a reason"
            raise ServerRefused(info, code=verdict.error_code if own else denied)
        return ApprovedMessage(
            verdict.msg_body if isinstance(verdict.msg_body, msgspec.Raw) else body,
            verdict.cloud_custom_data if isinstance(verdict.cloud_custom_data, str) else cloud_custom_data,
        )


_BEFORE = {False: "C2C.CallbackBeforeSendMsg", True: "Group.CallbackBeforeSendMsg"}


class StateCallbacks:
    """Reports logins and logouts to the back end, in order.

    The queue is in memory. After a crash the clients log in again, and those logins are reported.
    """

    def __init__(self, webhook: Webhook, *, now: Callable[[], float], enabled: bool) -> None:
        self._webhook = webhook
        self._now = now
        self._enabled = enabled
        self._queue: asyncio.Queue[dict[str, object]] = asyncio.Queue(STATES_LIMIT)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start reporting, if the settings enable the callback."""
        if self._enabled:
            self._task = asyncio.create_task(self._work(), name="timim state callbacks")

    async def close(self) -> None:
        """Stop reporting, and discard the queue."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def on_change(self, user: str, action: Action, reason: str) -> None:
        """Queue the report of a device that logged in, logged out or disconnected. A full queue drops the report."""
        if not self._enabled:
            return
        info = {"Action": action, "To_Account": user, "Reason": reason}
        try:
            self._queue.put_nowait({"EventTime": int(self._now() * 1000), "Info": info})
        except asyncio.QueueFull:
            log.warning("dropped the state change %s of %s: the queue is full (%s entries)", action, user, STATES_LIMIT)

    async def _work(self) -> None:
        while True:
            body = await self._queue.get()
            for wait_s in (0.5, 2.0, None):
                try:
                    await self._webhook.call(STATE, body)
                    break
                except WebhookFailed as exc:
                    if wait_s is None:
                        log.warning("dropped a state change after three failed calls of the webhook: %s", exc.info)
                    else:
                        await asyncio.sleep(wait_s)
