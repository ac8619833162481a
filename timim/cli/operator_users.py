"""Commands for operators about accounts, over the REST API: users show, users create, users delete, users mute."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from timim import InvalidArgument

from .console import FAILED, NOTHING_FOUND, notes, out, print_json, run_command
from .lines import harmless
from .options import with_options
from .rest import AdminOptions, RestDoor, Yes, confirm

app = typer.Typer()

FOR_EVER = (1 << 32) - 1

Names = Annotated[list[str], typer.Argument(metavar="USER…", help="User ids.")]
User = Annotated[str, typer.Argument(help="User id.")]
Nickname = Annotated[str, typer.Option(help="Nickname of the account.")]
FaceUrl = Annotated[str, typer.Option(help="Address of the account's picture.")]
MuteSeconds = Annotated[int | None, typer.Option(help="Seconds; 0 ends the mute, 4294967295 is for ever.", min=0, max=FOR_EVER)]
TAGS = {"Tag_Profile_IM_Nick": "nickname", "Tag_Profile_IM_Image": "face_url"}


@app.command()
@with_options(AdminOptions)
def show(options: AdminOptions, users: Names) -> None:
    """Print the profile, the online status and the mutes of each USER."""
    run_command(_show(options, users))


@app.command()
@with_options(AdminOptions)
def create(options: AdminOptions, user: User, nickname: Nickname = "", face_url: FaceUrl = "") -> None:
    """Create the account USER, or change its nickname and its face URL."""

    async def work() -> None:
        async with options.door() as door:
            await door.call("im_open_login_svc/account_import", UserID=user, Nick=nickname, FaceUrl=face_url)
        if options.json:
            print_json(type="created_user", user=user)
        else:
            out.print(f"created {escape(user)}", soft_wrap=True)

    run_command(work())


@app.command()
@with_options(AdminOptions)
def delete(options: AdminOptions, users: Names, yes: Yes = False) -> None:
    """Delete each USER with its profile, friends, groups and conversations. This cannot be undone."""
    confirm(f"Delete {', '.join(users)}? This cannot be undone.", yes=yes)
    run_command(_delete(options, users))


@app.command()
@with_options(AdminOptions)
def mute(options: AdminOptions, user: User, c2c: MuteSeconds = None, groups: MuteSeconds = None) -> None:
    """Refuse the messages of USER for some time, to users (--c2c) or to groups (--groups)."""
    run_command(_mute(options, user, c2c, groups))


async def _show(options: AdminOptions, users: list[str]) -> None:
    async with options.door() as door:
        checked = await door.call("im_open_login_svc/account_check", CheckItem=[{"UserID": user} for user in users])
        there = [one["UserID"] for one in checked["ResultItem"] if one["AccountStatus"] == "Imported"]
        found = [await _facts(door, user) for user in there]
    for facts in found:
        if options.json:
            print_json(type="user", **facts)
            continue
        mutes = "".join(f", muted in {name} for {facts[key]} s" for name, key in _MUTES.items() if facts[key])
        name = f" ({harmless(facts['nickname'])})" if facts["nickname"] else ""
        out.print(f"{escape(facts['user'] + name)}: {facts['status'].lower()}{mutes}", soft_wrap=True)
    for user in users:
        if user not in there:
            notes.print(f"there is no account {escape(user)}", soft_wrap=True)
    if not there:
        raise typer.Exit(NOTHING_FOUND)


_MUTES = {"C2C conversations": "muted_c2c_s", "groups": "muted_groups_s"}


async def _facts(door: RestDoor, user: str) -> dict[str, Any]:
    (profile,) = (await door.call("profile/portrait_get", To_Account=[user], TagList=list(TAGS)))["UserProfileItem"]
    values = {TAGS[item["Tag"]]: item["Value"] for item in profile["ProfileItem"] if item["Tag"] in TAGS}
    (status,) = (await door.call("openim/query_online_status", To_Account=[user], IsNeedDetail=1))["QueryResult"]
    left = await door.call("openconfigsvr/getnospeaking", Get_Account=user)
    return {
        "user": user,
        "nickname": values.get("nickname", ""),
        "face_url": values.get("face_url", ""),
        "status": status["Status"],
        "muted_c2c_s": left["C2CmsgNospeakingTime"],
        "muted_groups_s": left["GroupmsgNospeakingTime"],
    }


async def _delete(options: AdminOptions, users: list[str]) -> None:
    async with options.door() as door:
        reply = await door.call("im_open_login_svc/account_delete", DeleteItem=[{"UserID": user} for user in users])
    for one in reply["ResultItem"]:
        if options.json:
            print_json(type="deleted_user", user=one["UserID"], code=one["ResultCode"], error=one["ResultInfo"])
        elif one["ResultCode"]:
            notes.print(f"{escape(one['UserID'])}: {escape(one['ResultInfo'])} (code {one['ResultCode']})", soft_wrap=True)
        else:
            out.print(f"deleted {escape(one['UserID'])}", soft_wrap=True)
    if any(one["ResultCode"] for one in reply["ResultItem"]):
        raise typer.Exit(FAILED)


async def _mute(options: AdminOptions, user: str, c2c: int | None, groups: int | None) -> None:
    times = {"C2CmsgNospeakingTime": c2c, "GroupmsgNospeakingTime": groups}
    given = {name: seconds for name, seconds in times.items() if seconds is not None}
    if not given:
        raise InvalidArgument("give --c2c, --groups or both, in seconds; 0 ends a mute")
    async with options.door() as door:
        await door.call("openconfigsvr/setnospeaking", Set_Account=user, **given)
        left = await door.call("openconfigsvr/getnospeaking", Get_Account=user)
    facts = {"muted_c2c_s": left["C2CmsgNospeakingTime"], "muted_groups_s": left["GroupmsgNospeakingTime"]}
    if options.json:
        print_json(type="muted", user=user, **facts)
    else:
        out.print(f"{escape(user)} is muted in C2C for {facts['muted_c2c_s']} s, in groups for {facts['muted_groups_s']} s")
