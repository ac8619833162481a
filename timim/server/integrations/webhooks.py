"""Calls to the operator's back end: callbacks before a message is stored, and the address that everything else is told to.

The only address that is ever fetched is the operator's own, from the settings: no redirect is followed, no proxy of the
environment is used, and nothing that a user sends can name a host.
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

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger("timim.server")
REPLY_LIMIT_BYTES = 64 * 1024  # a rewritten message is at most a fifth of that
CALLS_AT_ONCE = 64  # connections to one back end; more wait
STATES_LIMIT = 10_000
STATE = "State.StateChange"
Action = Literal["Login", "Logout", "Disconnect"]
DENIED_C2C, DENIED_GROUP = 20006, 10016


class WebhookFailed(TimimError):
    """The back end did not answer, or with what is no answer."""


class WebhookReply(msgspec.Struct, kw_only=True):
    """What a back end answers. ErrorCode 0 lets through; MsgBody and CloudCustomData take the message's place."""

    action_status: str = msgspec.field(name="ActionStatus", default="OK")
    error_code: int = msgspec.field(name="ErrorCode", default=0)
    error_info: str = msgspec.field(name="ErrorInfo", default="")
    msg_body: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="MsgBody", default=msgspec.UNSET)
    cloud_custom_data: str | msgspec.UnsetType = msgspec.field(name="CloudCustomData", default=msgspec.UNSET)


class Webhook:
    """One address of the operator's. `now` is the server's clock."""

    def __init__(self, url: str, token: str, *, app_id: int, timeout_s: float, now: Callable[[], float]) -> None:
        self._url = url
        self._token = token
        self._app_id = app_id
        self._timeout_s = timeout_s
        self._now = now
        self._http: httpx2.AsyncClient | None = None

    async def call(self, command: str, body: Mapping[str, Any], *, client_ip: str = "", platform: str = "Web") -> WebhookReply:
        """Tell the back end, and what it says. Raises WebhookFailed: no answer in time, not 200, or not understood."""
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
            # ours: Sign says who calls, this also what is said
            signed = hmac.new(self._token.encode(), time.encode() + b"\n" + content, hashlib.sha256)
            headers["Timim-Signature"] = signed.hexdigest()
        try:
            async with asyncio.timeout(self._timeout_s):  # of the whole call: httpx's own is for each read
                said = await self._post(command, query, content, headers)
        except TimeoutError as exc:
            raise WebhookFailed(f"{command}: no answer within {self._timeout_s} s") from exc
        except httpx2.HTTPError as exc:
            raise WebhookFailed(f"{command}: {type(exc).__name__}") from exc
        try:
            return msgspec.json.decode(said, type=WebhookReply)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise WebhookFailed(f"{command}: the answer is not understood: {str(exc)[:100]}") from exc

    async def _post(self, command: str, query: dict[str, str], content: bytes, headers: dict[str, str]) -> bytes:
        said = b""
        url = f"{self._url}{'&' if '?' in self._url else '?'}{urlencode(query)}"
        async with self._client().stream("POST", url, content=content, headers=headers) as reply:
            if reply.status_code != 200:
                raise WebhookFailed(f"{command}: the back end answered HTTP {reply.status_code}")
            async for chunk in reply.aiter_bytes():
                said += chunk
                if len(said) > REPLY_LIMIT_BYTES:
                    raise WebhookFailed(f"{command}: the back end's answer is over {REPLY_LIMIT_BYTES} bytes")
        return said

    async def close(self) -> None:
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
    """The message may be stored, as this."""

    msg_body: msgspec.Raw
    cloud_custom_data: str


class BeforeSendWebhook:
    """Asks the back end before a message is stored; `commands` are what it wants to be asked."""

    def __init__(self, webhook: Webhook, commands: frozenset[str], *, required: bool) -> None:
        self._webhook = webhook
        self._commands = commands
        self._required = required

    def applies(self, *, group: bool) -> bool:
        return _BEFORE[group] in self._commands

    async def ask(self, facts: Mapping[str, Any], body: msgspec.Raw, cloud_custom_data: str, *, group: bool) -> ApprovedMessage:
        """Return the message that may be stored. Raises ServerRefused: the back end's code (120001 to 130000), 20006, 10016."""
        denied = DENIED_GROUP if group else DENIED_C2C
        try:
            verdict = await self._webhook.call(_BEFORE[group], {**facts, "MsgBody": body, "CloudCustomData": cloud_custom_data})
        except WebhookFailed as exc:
            log.warning("%s", exc.info)
            if self._required:
                raise ServerRefused("the operator's back end does not answer: it was not stored", code=denied) from exc
            return ApprovedMessage(body, cloud_custom_data)
        if verdict.error_code:
            own = 120_001 <= verdict.error_code <= 130_000
            info = verdict.error_info or "refused by the operator's back end"
            raise ServerRefused(info, code=verdict.error_code if own else denied)
        return ApprovedMessage(
            verdict.msg_body if isinstance(verdict.msg_body, msgspec.Raw) else body,
            verdict.cloud_custom_data if isinstance(verdict.cloud_custom_data, str) else cloud_custom_data,
        )


_BEFORE = {False: "C2C.CallbackBeforeSendMsg", True: "Group.CallbackBeforeSendMsg"}


class StateCallbacks:
    """Tells of logins and logouts, in order. In memory: who is online after a crash is told by the logins that follow."""

    def __init__(self, webhook: Webhook, *, now: Callable[[], float], enabled: bool) -> None:
        self._webhook = webhook
        self._now = now
        self._enabled = enabled
        self._queue: asyncio.Queue[dict[str, object]] = asyncio.Queue(STATES_LIMIT)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to report, if the settings ask for it."""
        if self._enabled:
            self._task = asyncio.create_task(self._work(), name="timim state callbacks")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def on_change(self, user: str, action: Action, reason: str) -> None:
        """Queue the report of a device that came or went. Never blocks; past STATES_LIMIT nothing is queued."""
        if not self._enabled:
            return
        info = {"Action": action, "To_Account": user, "Reason": reason}
        try:
            self._queue.put_nowait({"EventTime": int(self._now() * 1000), "Info": info})
        except asyncio.QueueFull:
            log.warning("a %s is not told to the back end: %s wait already", action, STATES_LIMIT)

    async def _work(self) -> None:
        while True:
            body = await self._queue.get()
            for wait_s in (0.5, 2.0, None):
                try:
                    await self._webhook.call(STATE, body)
                    break
                except WebhookFailed as exc:
                    log.warning("%s", exc.info)
                    if wait_s is not None:
                        await asyncio.sleep(wait_s)
