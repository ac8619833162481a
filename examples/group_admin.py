"""A bot that moderates a group: it admits users who know the password, greets them, and mutes users who shout."""

import asyncio

import timim
from timim import GroupChanged, GroupNoticeReceived, GroupNoticeType, GroupTipType, Message
from timim.testing import running_server


async def main() -> None:
    """Start a server, the bot and two users; stop when one was admitted and muted, and the other refused."""
    async with running_server() as server:
        bot = server.client("bot")

        @bot.on(GroupNoticeReceived)
        async def answer(event: GroupNoticeReceived) -> None:
            if event.notice.type is GroupNoticeType.APPLIED:
                group = bot.groups.of(event.group_id)
                if event.notice.text == "open sesame":
                    await group.accept(event.notice.operator)
                else:
                    await group.refuse(event.notice.operator, text="that is not the word")

        @bot.on(GroupChanged)
        async def greet(event: GroupChanged) -> None:
            if event.tip.type is GroupTipType.JOIN:
                await bot.group(event.group_id).send(f"welcome, {', '.join(event.tip.users)}")

        @bot.on_new_message
        async def silence(messages: list[Message]) -> None:
            for message in messages:
                if message.text.isupper() and message.conversation.type is timim.ConversationType.GROUP:
                    await bot.groups.of(message.conversation.peer).mute(message.sender, 600)

        async with bot, server.client("alice") as alice, server.client("mallory") as mallory:
            group = await bot.groups.create("Public", name="the cave")
            async with mallory.system().expect(lambda m: True, timeout=10) as verdict:
                await mallory.groups.join(group.id, wording="please")
            print("mallory receives:", (await verdict)[0])
            async with alice.group(group.id).expect(lambda m: "welcome" in m.text, timeout=10) as greeting:
                await alice.groups.join(group.id, wording="open sesame")
            print("alice receives:", (await greeting).text)
            muted = alice.group(group.id).expect(lambda m: bool(getattr(m[0], "member_changes", None)), timeout=10)
            async with muted as silenced:
                await alice.group(group.id).send("LET US SHOUT")
            await silenced
            try:
                await alice.group(group.id).send("may I still speak?")
            except timim.Muted as exc:
                print("alice gets an error:", exc)
            print("members:", [member.user_id for member in await group.members()])


asyncio.run(main())
