"""Figures about the accounts, the groups and the messages of each day, in SQL.

A day begins at midnight in Beijing (UTC+8), as in Tencent's statistics; it is numbered from 1970 on. Counting reads all
messages of the days, so it is for an operator who asks now and then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from .operation import Execute, Operation, SqlEngine, first_row

ZONE_S = 8 * 3600
DAY_S = 86_400
_DAY = f"(e.time+{ZONE_S})/{DAY_S}"
_MESSAGES = (
    "FROM timelines t JOIN entries e ON e.timeline=t.id WHERE t.last_time>=? AND e.time>=? AND e.kind<>1 AND e.sender<>''"
    " AND t.name NOT LIKE 'system%'"
)


@dataclass(slots=True)
class DayStatistics:
    """Figures of one day: sent messages, users who sent some, groups with messages, new groups and new members."""

    messages: int = 0
    senders: int = 0
    c2c_messages: int = 0
    c2c_senders: int = 0
    group_messages: int = 0
    group_senders: int = 0
    active_groups: int = 0
    new_groups: int = 0
    joined: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of accounts and of groups now."""

    accounts: int
    groups: int


class StatisticsStore:
    """Figures about all data. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def totals(self) -> Totals:
        """Return the numbers of accounts and groups."""
        return await self._engine.read(totals)

    async def days(self, first_day: int) -> dict[int, DayStatistics]:
        """Return the figures of the days from `first_day` on, by the number of the day; a day without any is absent."""
        return await self._engine.read(partial(days, first_day))


def totals() -> Operation[Totals]:
    accounts = yield from first_row("SELECT count(*) FROM accounts WHERE deleted<>1")
    groups = yield from first_row("SELECT count(*) FROM groups WHERE dissolved=0")
    assert accounts is not None
    assert groups is not None
    return Totals(int(accounts[0]), int(groups[0]))


def days(first_day: int) -> Operation[dict[int, DayStatistics]]:
    begin = first_day * DAY_S - ZONE_S
    found: dict[int, DayStatistics] = {}
    rows = yield Execute(f"SELECT {_DAY}, count(*), count(DISTINCT e.sender) {_MESSAGES} GROUP BY 1", (begin, begin))
    for day, messages, senders in rows:
        found[day] = DayStatistics(messages, senders)
    for group, name in ((False, "c2c%"), (True, "group%")):
        rows = yield Execute(
            f"SELECT {_DAY}, count(*), count(DISTINCT e.sender), count(DISTINCT e.timeline) {_MESSAGES}"
            f" AND t.name LIKE '{name}' GROUP BY 1",
            (begin, begin),
        )
        for day, messages, senders, timelines in rows:
            one = found.setdefault(day, DayStatistics())
            if group:
                one.group_messages, one.group_senders, one.active_groups = messages, senders, timelines
            else:
                one.c2c_messages, one.c2c_senders = messages, senders
    rows = yield Execute(f"SELECT (created+{ZONE_S})/{DAY_S}, count(*) FROM groups WHERE created>=? GROUP BY 1", (begin,))
    for day, count in rows:
        found.setdefault(day, DayStatistics()).new_groups = count
    rows = yield Execute(f"SELECT (joined+{ZONE_S})/{DAY_S}, count(*) FROM members WHERE joined>=? GROUP BY 1", (begin,))
    for day, count in rows:
        found.setdefault(day, DayStatistics()).joined = count
    return found
