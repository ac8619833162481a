"""Bodies of REST: old and new names of fields, required fields, and Tencent's codes of invalid bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ...errors import InvalidArgument, ProtocolError
from ...protocol.codec import GROUPS, Body, Command, Reply, decode, encode
from ...protocol.raw_json import check_utf8

UNPARSABLE_GROUP_BODY = 10011
_BODY_CODES = {
    "openim": 90001,
    "openconfigsvr": 90001,
    "open_msg_svc": 1001,
    "sns": 30001,
    "profile": 40001,
    "recentcontact": 50002,
    "im_open_login_svc": 70402,
}
_GROUP_BODY_CODE = 10004  # also of the services beside `group_open_http_svc`
_MESSAGE_FIELD_CODES = {
    "MsgBody": 90002,
    "To_Account": 90003,
    "MsgRandom": 90005,
    "MsgTimeStamp": 90006,
    "From_Account": 90008,
}
_DISPLAYED = ("sns", "profile", "recentcontact")  # services whose replies have ErrorDisplay
_FIELD = re.compile(r"`\$\.(\w+)|field `(\w+)`")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode_request(command: Command[Any, Any], raw: bytes | msgspec.Raw) -> Body:
    """Decode the body of a REST request; an empty one is `{}`.

    Raises:
        InvalidArgument: The body is invalid; the code is Tencent's for this service and field.
    """
    text = bytes(raw)
    try:
        check_utf8(text, "the body of the request")
        text = text if text.strip() else b"{}"
        fields = _fields(text)
    except ProtocolError as exc:
        code = UNPARSABLE_GROUP_BODY if command.service == GROUPS else body_code(command.service)
        raise InvalidArgument(exc.info, code=code) from exc
    for name, other in command.renamed.items():
        if other in fields:
            fields.setdefault(name, fields.pop(other))
            text = msgspec.json.encode(fields)
    for name in command.required:
        if name not in fields:
            raise InvalidArgument(f"the request has no {name}; add it", code=_field_code(command.service, name))
    try:
        body: Body = decode(command.body, text)
    except ProtocolError as exc:
        found = _FIELD.search(exc.info)
        name = (found[1] or found[2]) if found is not None else ""
        raise InvalidArgument(exc.info, code=_field_code(command.service, name)) from exc
    return body


def encode_reply(command: Command[Any, Any], reply: Reply) -> bytes:
    """Encode a reply, with both names of renamed fields, and with ErrorDisplay if the service has it."""
    if not command.renamed and command.service not in _DISPLAYED:
        return encode(reply)
    tree = msgspec.json.decode(encode(reply))
    _add_other_names(tree, command.renamed)
    if command.service in _DISPLAYED:
        tree["ErrorDisplay"] = reply.error_info
    return msgspec.json.encode(tree)


def body_code(service: str) -> int:
    """Return Tencent's code of an invalid body."""
    return _BODY_CODES.get(service, _GROUP_BODY_CODE)


def _field_code(service: str, name: str) -> int:
    return (_MESSAGE_FIELD_CODES if service == "openim" else {}).get(name, body_code(service))


def _fields(text: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _FIELDS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise ProtocolError(f"the body must be a JSON object: {str(exc)[:200]}") from None


def _add_other_names(tree: Any, names: Mapping[str, str]) -> None:
    if isinstance(tree, list):
        for item in tree:
            _add_other_names(item, names)
    elif isinstance(tree, dict):
        for item in tree.values():
            _add_other_names(item, names)
        tree |= {other: tree[name] for name, other in names.items() if name in tree}
