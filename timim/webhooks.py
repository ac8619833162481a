"""Receive the callbacks of a server in a back end: check that the server signed a call, and read it as a typed event.

    async def on_event(event: WebhookEvent) -> WebhookAnswer:
        if isinstance(event, BeforeMessage) and "forbidden" in event.text:
            return WebhookAnswer(error_code=120001, error_info="mind your language")
        return WebhookAnswer()

    app = Starlette(routes=[starlette_route("/webhook", on_event, token="secret", app_id=1400000001)])
    fastapi_app.router.routes.append(starlette_route("/webhook", on_event, token="secret", app_id=1400000001))

The module needs no web framework, except `starlette_route`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from timim import InvalidArgument, TimimError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = [
    "AfterMessage",
    "BeforeMessage",
    "FollowEvent",
    "GroupEvent",
    "ProfileEvent",
    "ReadEvent",
    "RecallEvent",
    "RelationEvent",
    "StateEvent",
    "WebhookAnswer",
    "WebhookEvent",
    "WebhookRejected",
    "parse",
    "starlette_route",
    "verify",
]

AGE_LIMIT_S = 60.0  # Tencent's limit
BODY_LIMIT_BYTES = 1024 * 1024


class WebhookRejected(TimimError):
    """A call that the server did not sign, that is too old, or that belongs to another app; answer it with status 403."""


class _Model(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", populate_by_name=True, frozen=True)


class WebhookEvent(_Model):
    """A callback. Fields that a class does not declare are in `model_extra`, by Tencent's names.

    Attributes:
        command: The callback, such as `Group.CallbackAfterCreateGroup`.
        event_time_ms: Time of the event, in milliseconds since 1970; 0 if the server does not tell it.
        event_id: Id of a callback after an event; a repetition has the same id.
        operator: The account that caused the event; an administrator for REST.
        client_ip: Address of the client that caused the event.
        platform: Platform of that client, such as `Web` or `RESTAPI`.
    """

    command: str = Field(alias="CallbackCommand")
    event_time_ms: int = Field(alias="EventTime", default=0)
    event_id: str = Field(alias="TimimEventId", default="")
    operator: str = Field(alias="Operator_Account", default="")
    client_ip: str = ""
    platform: str = ""


class _MessageEvent(WebhookEvent):
    from_account: str = Field(alias="From_Account")
    to_account: str = Field(alias="To_Account", default="")
    group_id: str = Field(alias="GroupId", default="")
    msg_body: list[dict[str, Any]] = Field(alias="MsgBody", default_factory=list)
    cloud_custom_data: str = Field(alias="CloudCustomData", default="")
    online_only: bool = Field(alias="OnlineOnlyFlag", default=False)

    @property
    def text(self) -> str:
        """The texts of all text elems, joined."""
        elems = (elem for elem in self.msg_body if elem.get("MsgType") == "TIMTextElem")
        return "".join(str(elem.get("MsgContent", {}).get("Text", "")) for elem in elems)


class BeforeMessage(_MessageEvent):
    """A message that the server asks about before it stores it (`…BeforeSendMsg`). The answer may refuse or replace it."""


class AfterMessage(_MessageEvent):
    """A message that was sent (`…AfterSendMsg`), or refused (`Group.CallbackSendMsgException`; `error_code` is not 0).

    Attributes:
        msg_seq: Seq of a message in its group, or MsgSeq of the sender of a C2C message.
        msg_time: Time of the message, in seconds.
        msg_key: MsgKey of a C2C message.
        error_code: Code with which the message was refused, or 0.
    """

    msg_seq: int = Field(alias="MsgSeq", default=0)
    msg_time: int = Field(alias="MsgTime", default=0)
    msg_key: str = Field(alias="MsgKey", default="")
    send_msg_result: int = Field(alias="SendMsgResult", default=0)
    exception_code: int = Field(alias="ErrorCode", default=0)

    @property
    def error_code(self) -> int:
        """Code with which the message was refused, or 0."""
        return self.send_msg_result or self.exception_code


class RecallEvent(WebhookEvent):
    """A message was recalled: by `msg_key` in C2C, by `msg_seqs` in a group."""

    from_account: str = Field(alias="From_Account", default="")
    to_account: str = Field(alias="To_Account", default="")
    msg_key: str = Field(alias="MsgKey", default="")
    group_id: str = Field(alias="GroupId", default="")
    msg_seq_list: list[dict[str, int]] = Field(alias="MsgSeqList", default_factory=list)

    @property
    def msg_seqs(self) -> list[int]:
        """Seqs of the recalled messages of a group."""
        return [item["MsgSeq"] for item in self.msg_seq_list]


class ReadEvent(WebhookEvent):
    """A user has read a C2C conversation."""

    reader: str = Field(alias="Report_Account")
    peer: str = Field(alias="Peer_Account")
    last_read_time: int = Field(alias="LastReadTime", default=0)
    unread: int = Field(alias="UnreadMsgNum", default=0)


class GroupEvent(WebhookEvent):
    """A group, its members or its attributes change. Lists of members are user ids.

    Attributes:
        group_id: The group; "" before it is created.
        topic_id: The topic of a Community that the event is about; "" for other events.
        type: Its type.
        members: The users that the event is about: invited, joined, gone, or those of a new group.
    """

    group_id: str = Field(alias="GroupId", default="")
    topic_id: str = Field(alias="TopicId", default="")
    type: str = Field(alias="Type", default="")
    owner: str = Field(alias="Owner_Account", default="")
    name: str = Field(alias="Name", default="")

    @property
    def members(self) -> list[str]:
        """User ids of the members that the event is about."""
        extra = self.model_extra or {}
        for field in ("MemberList", "NewMemberList", "ExitMemberList", "DestinationMembers"):
            if field in extra:
                return [item["Member_Account"] for item in extra[field]]
        named = extra.get("Modified_Account") or extra.get("Requestor_Account")
        return [named] if named else []


class RelationEvent(WebhookEvent):
    """Friends or the blacklist change, or are about to. `pairs` are (owner of the list, other user)."""

    from_account: str = Field(alias="From_Account", default="")
    pair_list: list[dict[str, str]] = Field(alias="PairList", default_factory=list)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The changed relations: the owner of the list, and the other user."""
        return [(pair["From_Account"], pair["To_Account"]) for pair in self.pair_list]


class FollowEvent(WebhookEvent):
    """A user has followed others, or has stopped."""

    from_account: str = Field(alias="From_Account")
    follow_list: list[dict[str, str]] = Field(alias="FollowList", default_factory=list)

    @property
    def users(self) -> list[str]:
        """The users whom `from_account` follows now, or does not follow any more."""
        return [item["To_Account"] for item in self.follow_list]


class ProfileEvent(WebhookEvent):
    """A profile changed; `values` has the new values by their tags."""

    account: str = Field(alias="From_Account")
    profile_items: list[dict[str, str]] = Field(alias="ProfileItem", default_factory=list)

    @property
    def values(self) -> dict[str, str]:
        """The changed values by Tencent's tags."""
        return {item["Tag"]: item["Value"] for item in self.profile_items}


class StateEvent(WebhookEvent):
    """A device logged in, logged out or disconnected."""

    info: dict[str, str] = Field(alias="Info")
    kicked_devices: list[dict[str, str]] = Field(alias="KickedDevice", default_factory=list)

    @property
    def user(self) -> str:
        """The user."""
        return self.info["To_Account"]

    @property
    def action(self) -> str:
        """`Login`, `Logout` or `Disconnect`."""
        return self.info["Action"]

    @property
    def reason(self) -> str:
        """Tencent's reason, such as `Register` or `TimeOut`."""
        return self.info["Reason"]


class WebhookAnswer(BaseModel):
    """The reply of a back end. The default accepts; callbacks after an event ignore all but its form.

    Attributes:
        error_code: 0 accepts, 1 refuses, 2 drops a message silently; own codes: 120001 to 130000 (messages), 10100 to 10200
            (groups), 38000 to 39000 (relations).
        error_info: Text that the client gets with a refusal.
        msg_body: New elems of a message, in Tencent's form.
        cloud_custom_data: New CloudCustomData of a message.
        refused_members: Invited users who are refused, while the others are invited.
        refused_friends: Code from 38000 to 39000 for each user who is refused, while the others are added or answered.
    """

    error_code: int = 0
    error_info: str = ""
    msg_body: list[dict[str, Any]] | None = None
    cloud_custom_data: str | None = None
    refused_members: list[str] = Field(default_factory=list)
    refused_friends: dict[str, int] = Field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the body of the HTTP response."""
        status = "FAIL" if self.error_code else "OK"
        body: dict[str, Any] = {"ActionStatus": status, "ErrorCode": self.error_code, "ErrorInfo": self.error_info}
        if self.msg_body is not None:
            body["MsgBody"] = self.msg_body
        if self.cloud_custom_data is not None:
            body["CloudCustomData"] = self.cloud_custom_data
        if self.refused_members:
            body["RefusedMembers_Account"] = self.refused_members
        if self.refused_friends:
            items = self.refused_friends.items()
            body["ResultItem"] = [{"To_Account": user, "ResultCode": code, "ResultInfo": ""} for user, code in items]
        return json.dumps(body).encode()


def verify(
    query: Mapping[str, str],
    body: bytes,
    headers: Mapping[str, str],
    *,
    token: str,
    app_id: int | None = None,
    now: float | None = None,
) -> None:
    """Check that a server with this token made a call, and that it is not older than a minute.

    `Sign` covers the time only. `Timim-Signature` covers the body as well, and is required unless the call has no such header
    because Tencent Chat made it.

    Args:
        query: The parameters of the URL.
        body: The body of the request.
        headers: Its headers, by lower-case names or in a mapping that ignores case.
        token: The setting `webhook_token` of the server.
        app_id: The app id of the server; None accepts any.
        now: The time, in seconds since 1970; by default that of this machine.

    Raises:
        WebhookRejected: The signature is missing or wrong, the call is too old, or the app is another one.
        InvalidArgument: The token is empty.
    """
    if not token:
        raise InvalidArgument("token must not be empty; set webhook_token of the server")
    sent, sign = query.get("RequestTime", ""), query.get("Sign", "")
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 12):
        raise WebhookRejected("RequestTime is missing or no number; set webhook_token of the server")
    if not hmac.compare_digest(hashlib.sha256((token + sent).encode()).hexdigest(), sign.lower()):
        raise WebhookRejected("Sign is wrong; webhook_token of the server must be the token of the back end")
    if abs((time.time() if now is None else now) - int(sent)) > AGE_LIMIT_S:
        raise WebhookRejected(f"the call is older than {AGE_LIMIT_S:g} s; compare the clocks of the machines")
    ours = headers.get("timim-signature") or headers.get("Timim-Signature")
    if ours is not None:
        signed = hmac.new(token.encode(), sent.encode() + b"\n" + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signed, ours):
            raise WebhookRejected("Timim-Signature does not fit the body")
    if app_id is not None and query.get("SdkAppid") != str(app_id):
        raise WebhookRejected("SdkAppid is not the app of this back end")


def parse(query: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Return the event of a call that was verified.

    Args:
        query: The parameters of the URL.
        body: The body of the request.

    Raises:
        InvalidArgument: The body is no callback.
    """
    try:
        fields = json.loads(body)
        command = str(fields["CallbackCommand"])
        fields |= {"client_ip": query.get("ClientIP", ""), "platform": query.get("OptPlatform", "")}
        return _class_of(command).model_validate(fields)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as exc:
        raise InvalidArgument(f"the body of the callback is invalid: {str(exc)[:200]}") from exc


def _class_of(command: str) -> type[WebhookEvent]:
    service, _, name = command.partition(".")
    for end, event in _BY_NAME.items():
        if name == end:
            return event
    return _BY_SERVICE.get(service, WebhookEvent)


_BY_NAME: dict[str, type[WebhookEvent]] = {
    "CallbackBeforeSendMsg": BeforeMessage,
    "CallbackAfterSendMsg": AfterMessage,
    "CallbackSendMsgException": AfterMessage,
    "CallbackAfterMsgReport": ReadEvent,
    "CallbackAfterMsgWithDraw": RecallEvent,
    "CallbackAfterRecallMsg": RecallEvent,
}
_BY_SERVICE: dict[str, type[WebhookEvent]] = {
    "Follow": FollowEvent,
    "Group": GroupEvent,
    "Sns": RelationEvent,
    "Profile": ProfileEvent,
    "State": StateEvent,
}


def starlette_route(
    path: str, on_event: Callable[[WebhookEvent], Awaitable[WebhookAnswer | None]], *, token: str, app_id: int | None = None
) -> Route:
    """Return a route for Starlette or FastAPI that verifies each call, and answers it with the reply of `on_event`.

    A call that is not verified gets status 403, an invalid one 400. An error of `on_event` is that of the framework: the server
    takes it for no answer, and repeats callbacks after an event.

    Args:
        path: The path of the route.
        on_event: Called with each event; None accepts. It should answer within 2 s, and recognize repetitions by `event_id`.
        token: The setting `webhook_token` of the server.
        app_id: The app id of the server; None accepts any.

    Raises:
        InvalidArgument: The token is empty, or the package starlette is not installed.
    """
    if not token:
        raise InvalidArgument("token must not be empty; set webhook_token of the server")
    try:
        from starlette.responses import Response as HttpResponse
        from starlette.routing import Route as HttpRoute
    except ModuleNotFoundError as exc:
        raise InvalidArgument(f"starlette_route needs the package {exc.name}; run pip install starlette") from None

    async def endpoint(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT_BYTES:
                return HttpResponse("the body is too long", status_code=413)
        try:
            verify(request.query_params, body, request.headers, token=token, app_id=app_id)
            event = parse(request.query_params, body)
        except WebhookRejected as exc:
            return HttpResponse(exc.info, status_code=403)
        except InvalidArgument as exc:
            return HttpResponse(exc.info, status_code=400)
        reply = await on_event(event) or WebhookAnswer()
        return HttpResponse(reply.encode(), media_type="application/json")

    return HttpRoute(path, endpoint, methods=["POST"])
