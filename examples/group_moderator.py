"""A moderator of groups: the owner and admins mute and remove members with commands, and advertising is recalled.

Run `timim serve` in this folder, then this program. Create a group with the member "bot", and make "bot" an admin.
"""

from typing import Annotated

from pydantic import Field

import timim
from timim import CommandError, F, Group, MemberRole, Message, Router

client = timim.Client.from_server("timim-data", user_id="bot")
router = Router()


@router.provider
async def group_of_an_admin(message: Message) -> Group:
    """Return the group of a command that its owner or an admin wrote."""
    group = client.groups.of(message.conversation.peer)
    writer = await group.member(message.sender)
    if writer is None or writer.role is MemberRole.MEMBER:
        raise CommandError("only the owner and admins may do that")
    return group


@router.command("mute", F.is_group)
async def mute(message: Message, group: Group, user_id: str, minutes: Annotated[int, Field(ge=1, le=1440)] = 10) -> None:
    """Mute a member for some minutes."""
    await group.mute(user_id, minutes * 60)
    await message.reply(f"{user_id} is muted for {minutes} min")


@router.command("unmute", F.is_group)
async def unmute(message: Message, group: Group, user_id: str) -> None:
    """Let a member speak again."""
    await group.mute(user_id, 0)
    await message.reply(f"{user_id} may speak")


@router.command("kick", F.is_group)
async def kick(message: Message, group: Group, user_id: str, reason: str = "") -> None:
    """Remove a member, with a reason."""
    await group.kick(user_id, reason=reason)
    await message.reply(f"{user_id} is removed")


@router.message(F.is_group & F.text.lower().contains("casino", "cheap watches"))
async def recall(message: Message) -> None:
    await message.conversation.send(f"{message.sender}: no advertising here")
    await message.recall()  # last, because a recalled message is not handled again after a crash


@router.on_error(timim.ServerRefused)
async def refused(message: Message, error: timim.ServerRefused) -> None:
    await message.reply(str(error))


client.run(router)
