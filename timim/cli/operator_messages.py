"""Commands for operators about messages, over the REST API: messages send, messages history, messages recall."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from timim import InvalidArgument

from ..protocol.elems import decode_body
from .console import NOTHING_FOUND, fail, out, print_json, run_command
from .lines import harmless
from .options import IsGroup, with_options
from .rest import AdminOptions, RestDoor

HELP = "Send, read and recall messages of a running server, as its administrator."

app = typer.Typer(help=HELP, no_args_is_help=True)

Peer = Annotated[str, typer.Argument(help="User id, or group id with --group.")]
Text = Annotated[str, typer.Argument(help="Text of the message; - reads it from standard input.")]
Sender = Annotated[str, typer.Option("--from", help="The sender; by default the administrator.")]
Of = Annotated[str, typer.Option("--of", help="The user whose messages with PEER are printed; by default the administrator.")]
Count = Annotated[int, typer.Option(help="Number of messages.", min=1, max=1000)]
Key = Annotated[str, typer.Argument(help="MsgKey of a message to a user, or seq of one to a group.")]
GROUPS, PAGE, GROUP_PAGE = "group_open_http_svc/", 100, 20


@app.command()
@with_options(AdminOptions)
def send(options: AdminOptions, peer: Peer, text: Text, sender: Sender = "", group: IsGroup = False) -> None:
    """Send a text to PEER in the name of any account, and print the key (user) or the seq (group) of the message."""
    run_command(_send(options, peer, sys.stdin.read() if text == "-" else text, sender, group=group))


@app.command()
@with_options(AdminOptions)
def history(options: AdminOptions, peer: Peer, of: Of = "", count: Count = 20, group: IsGroup = False) -> None:
    """Print the newest messages of a group, or of two users, the oldest first."""
    run_command(_history(options, peer, of, count, group=group))


@app.command()
@with_options(AdminOptions)
def recall(options: AdminOptions, peer: Peer, key: Key, sender: Sender = "", group: IsGroup = False) -> None:
    """Recall the message KEY to PEER, however old it is."""
    run_command(_recall(options, peer, key, sender, group=group))


async def _send(options: AdminOptions, peer: str, text: str, sender: str, *, group: bool) -> None:
    if not text:
        raise InvalidArgument("the text is empty; a message needs at least one character")
    body: dict[str, Any] = {"MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]}
    if sender:
        body["From_Account"] = sender
    random = secrets.randbits(32)
    async with options.door() as door:
        if group:
            sent = await door.call(GROUPS + "send_group_msg", GroupId=peer, Random=random, **body)
            key = str(sent["MsgSeq"])
        else:
            sent = await door.call("openim/sendmsg", To_Account=peer, MsgRandom=random, **body)
            key = sent["MsgKey"]
    if options.json:
        print_json(type="sent_message", key=key, peer=peer, time=datetime.fromtimestamp(sent["MsgTime"], UTC))
    else:
        out.print(key, markup=False, soft_wrap=True)


async def _history(options: AdminOptions, peer: str, of: str, count: int, *, group: bool) -> None:
    async with options.door() as door:
        found = await (_of_group(door, peer, count) if group else _of_users(door, of or options.admin, peer, count))
    for one in found:
        if options.json:
            print_json(type="stored_message", **one)
        else:
            line = f"{one['time']:%Y-%m-%d %H:%M:%S}  {one['key']}  {one['sender']}: {harmless(one['text'])}"
            out.print(line, markup=False, soft_wrap=True)
    if not found:
        raise typer.Exit(NOTHING_FOUND)


async def _of_users(door: RestDoor, user: str, peer: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while len(found) < count:
        asked = min(PAGE, count - len(found))
        page = await door.call("openim/admin_getroammsg", Operator_Account=user, Peer_Account=peer, MaxCnt=asked, **more)
        found = [_message(one, one["MsgKey"], recalled=one["MsgFlagBits"] == 8) for one in page["MsgList"]] + found
        if page["Complete"] or not page["MsgList"]:
            break
        more = {"MaxTime": page["LastMsgTime"], "LastMsgKey": page["LastMsgKey"]}
    return found


async def _of_group(door: RestDoor, group: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while len(found) < count:
        asked = min(GROUP_PAGE, count - len(found))
        body = {"GroupId": group, "ReqMsgNumber": asked, "WithRecalledMsg": 1} | more
        page = await door.call(GROUPS + "group_msg_get_simple", **body)
        found += [_message(one, str(one["MsgSeq"]), recalled=one["IsPlaceMsg"] == 2) for one in page["RspMsgList"]]
        if page["IsFinished"] or not page["RspMsgList"]:
            break
        more = {"ReqMsgSeq": page["RspMsgList"][-1]["MsgSeq"] - 1}
    return found[::-1]


def _message(one: dict[str, Any], key: str, *, recalled: bool) -> dict[str, Any]:
    elems = decode_body(msgspec.Raw(msgspec.json.encode(one["MsgBody"])))
    text = "(recalled)" if recalled else "".join(elem.push_text for elem in elems)
    time = datetime.fromtimestamp(one["MsgTimeStamp"], UTC)
    return {
        "key": key,
        "time": time,
        "sender": one["From_Account"],
        "text": text,
        "recalled": recalled,
        "elems": one["MsgBody"],
    }


async def _recall(options: AdminOptions, peer: str, key: str, sender: str, *, group: bool) -> None:
    async with options.door() as door:
        if group:
            if not (key.isascii() and key.isdecimal()):
                raise InvalidArgument(f"KEY of a message to a group is its seq, a number, not {key[:40]!r}")
            asked = [{"MsgSeq": int(key)}]
            (result,) = (await door.call(GROUPS + "group_msg_recall", GroupId=peer, MsgSeqList=asked))["RecallRetList"]
            if result["RetCode"]:
                fail(f"the message {key} of group {peer} was not recalled (code {result['RetCode']})")
        else:
            await door.call("openim/admin_msgwithdraw", From_Account=sender or options.admin, To_Account=peer, MsgKey=key)
    if options.json:
        print_json(type="recalled_message", key=key, peer=peer)
    else:
        out.print(f"recalled {key}", markup=False, soft_wrap=True)
