"""A daily report: groups get the number of messages of each member, at 18:00 UTC or at the time in REPORT_AT.

Run `timim serve` in this folder, then this program, and create a group with the member "bot". `/report` reports at once.

Each new message replaces the report that waits. The local store keeps that report, so it is sent once, also after a crash. A
day without messages has no report. `pip install "timim[dataframe]"` installs pandas.
"""

import os
from datetime import UTC, datetime, time, timedelta

import timim
from timim import F, Message, Router

AT = time.fromisoformat(os.environ.get("REPORT_AT", "18:00")).replace(tzinfo=UTC)
client = timim.Client.from_server("timim-data", user_id="bot")
router = Router()


def next_time(now: datetime) -> datetime:
    """Return the time of the next report."""
    today = datetime.combine(now.date(), AT)
    return today if now < today else today + timedelta(days=1)


async def report(last: Message) -> str:
    """Remove the report that waits, and return a new one: the messages of each member from the last report to this message."""
    for waiting in client.scheduled_messages:
        if waiting.conversation is last.conversation:
            await waiting.remove()
    frame = await last.conversation.to_dataframe()
    reported = frame["reply_to"].where(frame["is_self"]).fillna(0).max()  # a report quotes the last message that it counts
    counted = frame["seq"].between(reported + 1, last.seq) & ~frame["is_self"] & ~frame["text"].isin(["", "/report"])
    counts = frame[counted].groupby("sender").size()
    return "\n".join(["Messages since the last report", *(f"{sender}: {count}" for sender, count in counts.items())])


@router.command("report", F.is_group)
async def report_now(message: Message) -> None:
    """Send the report now."""
    await message.reply(await report(message))


@router.message(F.is_group)
async def report_later(message: Message) -> None:
    await message.conversation.send(await report(message), at=next_time(datetime.now(UTC)), reply_to=message)


client.run(router)
