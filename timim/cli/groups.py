"""Commands for operators about groups, over the REST API: groups list, show, create, delete, members, add, remove, transfer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from .console import FAILED, NOTHING_FOUND, notes, out, print_json, run_command
from .lines import harmless
from .options import with_options
from .rest import AdminOptions, RestDoor, Yes, confirm

HELP = "Manage the groups of a running server, as its administrator."

app = typer.Typer(help=HELP, no_args_is_help=True)

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="Group id.")]
Title = Annotated[str, typer.Argument(metavar="NAME", help="Name of the group.")]
Type = Annotated[str, typer.Option(help="Work, Public, Meeting, AVChatRoom or Community.")]
OfType = Annotated[str, typer.Option("--type", help="Only groups of this type.")]
Id = Annotated[str, typer.Option("--id", help="Id of the group; by default the server makes one.")]
Owner = Annotated[str, typer.Option(help="User id of the owner; by default the group has none.")]
Members = Annotated[list[str] | None, typer.Option("--member", help="User id of a member; give it once for each.")]
Users = Annotated[list[str], typer.Argument(metavar="USER…", help="User ids.")]
NewOwner = Annotated[str, typer.Argument(metavar="USER", help="User id of a member.")]
Reason = Annotated[str, typer.Option(help="Text for the removed members.")]
SERVICE = "group_open_http_svc/"
PAGE = 1000
MEMBERS_PAGE = 1000
RESULTS = ("failed", "added", "was a member", "must agree")


@app.command("list")
@with_options(AdminOptions)
def list_(options: AdminOptions, type: OfType = "") -> None:
    """Print the ids of all groups."""
    run_command(_list(options, type))


@app.command()
@with_options(AdminOptions)
def show(options: AdminOptions, group: GroupName) -> None:
    """Print the properties of GROUP."""

    async def work() -> None:
        async with options.door() as door:
            facts = await _facts(door, group)
        if options.json:
            print_json(type="group", **facts)
            return
        owner = f"owner {facts['owner']}" if facts["owner"] else "no owner"
        title = escape(f"{facts['group']} {harmless(facts['name'])!r}")
        counts = f"{facts['members']} of {facts['max_members']} members, {escape(owner)}"
        out.print(f"{title}: {facts['group_type']}, {counts}, created {facts['created']:%Y-%m-%d %H:%M:%S}", soft_wrap=True)

    run_command(work())


@app.command()
@with_options(AdminOptions)
def create(
    options: AdminOptions, name: Title, type: Type = "Public", id: Id = "", owner: Owner = "", member: Members = None
) -> None:
    """Create a group, and print its id."""

    async def work() -> None:
        members = [{"Member_Account": user} for user in member or []]
        body = {"Name": name, "Type": type, "GroupId": id, "Owner_Account": owner, "MemberList": members}
        async with options.door() as door:
            made = await door.call(SERVICE + "create_group", **{key: value for key, value in body.items() if value})
        if options.json:
            print_json(type="created_group", group=made["GroupId"])
        else:
            out.print(made["GroupId"], markup=False, soft_wrap=True)

    run_command(work())


@app.command()
@with_options(AdminOptions)
def delete(options: AdminOptions, group: GroupName, yes: Yes = False) -> None:
    """Dissolve GROUP. This cannot be undone, and its id cannot be used again."""
    confirm(f"Dissolve {group}? This cannot be undone.", yes=yes)

    async def work() -> None:
        async with options.door() as door:
            await door.call(SERVICE + "destroy_group", GroupId=group)
        _report(options, f"dissolved {group}", type="deleted_group", group=group)

    run_command(work())


@app.command()
@with_options(AdminOptions)
def members(options: AdminOptions, group: GroupName) -> None:
    """Print the members of GROUP in the order in which they joined, each with its role."""
    run_command(_members(options, group))


@app.command()
@with_options(AdminOptions)
def add(options: AdminOptions, group: GroupName, users: Users) -> None:
    """Add each USER to GROUP."""
    run_command(_add(options, group, users))


@app.command()
@with_options(AdminOptions)
def remove(options: AdminOptions, group: GroupName, users: Users, reason: Reason = "") -> None:
    """Remove each USER from GROUP."""

    async def work() -> None:
        async with options.door() as door:
            await door.call(SERVICE + "delete_group_member", GroupId=group, MemberToDel_Account=users, Reason=reason)
        for user in users:
            _report(options, f"removed {user}", type="removed_member", group=group, user=user)

    run_command(work())


@app.command()
@with_options(AdminOptions)
def transfer(options: AdminOptions, group: GroupName, user: NewOwner) -> None:
    """Make USER the owner of GROUP."""

    async def work() -> None:
        async with options.door() as door:
            await door.call(SERVICE + "change_group_owner", GroupId=group, NewOwner_Account=user)
        _report(options, f"{user} owns {group}", type="transferred_group", group=group, owner=user)

    run_command(work())


async def _list(options: AdminOptions, type: str) -> None:
    begin, count = 0, 0
    async with options.door() as door:
        while True:
            page = await door.call(SERVICE + "get_appid_group_list", Limit=PAGE, Next=begin, GroupType=type)
            for one in page["GroupIdList"]:
                _report(options, one["GroupId"], type="group_id", group=one["GroupId"])
                count += 1
            begin = page["Next"]
            if not begin:
                break
    if not count:
        raise typer.Exit(NOTHING_FOUND)


async def _facts(door: RestDoor, group: str) -> dict[str, Any]:
    (info,) = (await door.call(SERVICE + "get_group_info", GroupIdList=[group]))["GroupInfo"]
    if info["ErrorCode"]:
        notes.print(f"[red]timim: {escape(info['ErrorInfo'])} (code {info['ErrorCode']})[/red]", soft_wrap=True)
        raise typer.Exit(FAILED)
    return {
        "group": info["GroupId"],
        "group_type": info["Type"],
        "name": info["Name"],
        "introduction": info["Introduction"],
        "notification": info["Notification"],
        "owner": info["Owner_Account"],
        "members": info["MemberNum"],
        "max_members": info["MaxMemberNum"],
        "created": datetime.fromtimestamp(info["CreateTime"], UTC),
        "last_seq": info["NextMsgSeq"] - 1,
    }


async def _members(options: AdminOptions, group: str) -> None:
    offset = 0
    async with options.door() as door:
        while True:
            page = await door.call(SERVICE + "get_group_member_info", GroupId=group, Limit=MEMBERS_PAGE, Offset=offset)
            for one in page["MemberList"]:
                joined = datetime.fromtimestamp(one["JoinTime"], UTC)
                facts = {"user": one["Member_Account"], "role": one["Role"], "name_card": one["NameCard"], "joined": joined}
                card = f" ({harmless(one['NameCard'])})" if one["NameCard"] else ""
                _report(options, f"{one['Member_Account']}{card}: {one['Role']}", type="member", group=group, **facts)
            offset += len(page["MemberList"])
            if not page["MemberList"] or offset >= page["MemberNum"]:
                break
    if not offset:
        raise typer.Exit(NOTHING_FOUND)


async def _add(options: AdminOptions, group: str, users: list[str]) -> None:
    async with options.door() as door:
        new = [{"Member_Account": user} for user in users]
        results = (await door.call(SERVICE + "add_group_member", GroupId=group, MemberList=new))["MemberList"]
    for one in results:
        result = RESULTS[one["Result"]]
        text = f"{one['Member_Account']}: {result}"
        _report(options, text, type="added_member", group=group, user=one["Member_Account"], result=result)
    if any(not one["Result"] for one in results):
        raise typer.Exit(FAILED)


def _report(options: AdminOptions, text: str, **facts: object) -> None:
    """Print a line, or the facts as JSON."""
    if options.json:
        print_json(**facts)
    else:
        out.print(text, markup=False, soft_wrap=True)
