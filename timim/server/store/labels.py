"""Labels of conversations in SQL: marks, custom data and conversation groups, which a user has for itself.

A row of `conversation_labels` is one label: `m` and the number of a mark, `c` with custom data as its value, or `g` and the id
of a group. So that no change reads before it writes, and changes of several devices cannot overwrite each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ...errors import InvalidArgument, LimitReached
from .operation import Execute, ExecuteMany, Operation, Rows, SqlEngine, first_row

BAD_LABEL = 50002  # Tencent's code for wrong fields of a request about conversations


class LabelChange(NamedTuple):
    """Changes of the labels of a conversation; custom data None does not change, "" is removed."""

    conversation: str
    set_marks: Sequence[int] = ()
    clear_marks: Sequence[int] = ()
    custom: str | None = None


class Labelled(NamedTuple):
    """A conversation with its marks, custom data and ids of groups."""

    conversation: str
    marks: frozenset[int] = frozenset()
    custom: str = ""
    groups: frozenset[int] = frozenset()


class LabelLimits(NamedTuple):
    """The limits of one user: conversations with labels, and groups."""

    conversations: int
    groups: int


def label_name(type: int, peer: str) -> str:
    """Return the name of a conversation in the tables of labels, by Tencent's number of its type."""
    return f"{type}\x1f{peer}"


class LabelStore:
    """Labels of conversations. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def change(self, user: str, changes: Sequence[LabelChange], limits: LabelLimits) -> list[Labelled]:
        """Change marks and custom data. Return the labels after that, in the order of the changes.

        Raises:
            LimitReached: The user has labels on more conversations than the limit.
        """
        return await self._engine.write(partial(change, user, changes, limits))

    async def of(self, user: str, conversations: Sequence[str]) -> list[Labelled]:
        """Return the labels of some conversations, in their order."""
        return await self._engine.read(partial(labels_of, user, conversations))

    async def page(self, user: str, start: int, limit: int) -> list[Labelled]:
        """Return a page of the conversations that have labels, from number `start` on."""
        return await self._engine.read(partial(page, user, start, limit))

    async def groups(self, user: str) -> dict[str, int]:
        """Return the names of a user's groups with their ids, in the order of the ids."""
        return await self._engine.read(partial(groups, user))

    async def create_group(self, user: str, name: str, conversations: Sequence[str], limits: LabelLimits) -> int:
        """Create a group with conversations in it, and return its id.

        Raises:
            InvalidArgument: The user has such a group.
            LimitReached: The user has as many groups as the limit, or labels on too many conversations.
        """
        return await self._engine.write(partial(create_group, user, name, conversations, limits))

    async def rename_group(self, user: str, old: str, new: str) -> int:
        """Rename a group, and return its id. Raises InvalidArgument."""
        return await self._engine.write(partial(rename_group, user, old, new))

    async def delete_group(self, user: str, name: str) -> int:
        """Delete a group, and return the id that it had. Raises InvalidArgument."""
        return await self._engine.write(partial(delete_group, user, name))

    async def change_group(
        self, user: str, name: str, *, added: Sequence[str], removed: Sequence[str], limits: LabelLimits
    ) -> int:
        """Put conversations into a group and take others out, and return the id of the group.

        Raises:
            InvalidArgument: The user has no such group.
            LimitReached: The user has labels on more conversations than the limit.
        """
        return await self._engine.write(partial(change_group, user, name, added, removed, limits))


_ADD = (
    "INSERT INTO conversation_labels(user_id, conversation, label, value) VALUES(?,?,?,?)"
    " ON CONFLICT(user_id, conversation, label) DO UPDATE SET value=excluded.value"
)
_REMOVE = "DELETE FROM conversation_labels WHERE user_id=? AND conversation=? AND label=?"


def change(user: str, changes: Sequence[LabelChange], limits: LabelLimits) -> Operation[list[Labelled]]:
    """Insert and delete the rows of labels. Raises LimitReached."""
    added: list[tuple[str, str, str, str]] = []
    removed: list[tuple[str, str, str]] = []
    for one in changes:
        added += [(user, one.conversation, f"m{mark}", "") for mark in one.set_marks]
        removed += [(user, one.conversation, f"m{mark}") for mark in one.clear_marks]
        if one.custom:
            added.append((user, one.conversation, "c", one.custom))
        elif one.custom is not None:
            removed.append((user, one.conversation, "c"))
    yield ExecuteMany(_REMOVE, removed)
    yield ExecuteMany(_ADD, added)
    if added:
        yield from _check_limit(user, limits)
    return (yield from labels_of(user, [one.conversation for one in changes]))


def _check_limit(user: str, limits: LabelLimits) -> Operation[None]:
    row = yield from first_row("SELECT count(DISTINCT conversation) FROM conversation_labels WHERE user_id=?", user)
    if row is not None and int(row[0]) > limits.conversations:
        raise LimitReached(
            f"{user!r} has labels on {limits.conversations} conversations, which is the limit; remove labels first", code=10014
        )


def labels_of(user: str, conversations: Sequence[str]) -> Operation[list[Labelled]]:
    """Select the labels of some conversations."""
    places = ",".join("?" * len(conversations))
    sql = f"SELECT conversation, label, value FROM conversation_labels WHERE user_id=? AND conversation IN ({places})"
    found = _labelled((yield Execute(sql, (user, *conversations)))) if conversations else {}
    return [found.get(one, Labelled(one)) for one in conversations]


def page(user: str, start: int, limit: int) -> Operation[list[Labelled]]:
    """Select a page of conversations with labels."""
    sql = (
        "SELECT conversation, label, value FROM conversation_labels WHERE user_id=? AND conversation IN (SELECT DISTINCT"
        " conversation FROM conversation_labels WHERE user_id=? ORDER BY conversation LIMIT ? OFFSET ?) ORDER BY conversation"
    )
    return list(_labelled((yield Execute(sql, (user, user, limit, start)))).values())


def _labelled(rows: Rows) -> dict[str, Labelled]:
    found: dict[str, tuple[set[int], list[str], set[int]]] = {}
    for conversation, label, value in rows:
        marks, custom, numbers = found.setdefault(conversation, (set(), [], set()))
        match label[0]:
            case "m":
                marks.add(int(label[1:]))
            case "g":
                numbers.add(int(label[1:]))
            case _:
                custom.append(value)
    return {
        conversation: Labelled(conversation, frozenset(marks), "".join(custom), frozenset(numbers))
        for conversation, (marks, custom, numbers) in found.items()
    }


def groups(user: str) -> Operation[dict[str, int]]:
    """Select the groups of a user."""
    rows = yield Execute("SELECT name, number FROM conversation_groups WHERE user_id=? ORDER BY number", (user,))
    return {name: int(number) for name, number in rows}


def _number_of(user: str, name: str) -> Operation[int]:
    row = yield from first_row("SELECT number FROM conversation_groups WHERE user_id=? AND name=?", user, name)
    if row is None:
        raise InvalidArgument(f"{user!r} has no conversation group {name!r}", code=BAD_LABEL)
    return int(row[0])


def create_group(user: str, name: str, conversations: Sequence[str], limits: LabelLimits) -> Operation[int]:
    """Insert the row of a group, and those of its conversations. Raises InvalidArgument, LimitReached."""
    known = yield from groups(user)
    if name in known:
        raise InvalidArgument(f"{user!r} has a conversation group {name!r} already", code=BAD_LABEL)
    if len(known) >= limits.groups:
        raise LimitReached(f"{user!r} has {limits.groups} conversation groups, which is the limit; delete one first")
    number = max(known.values(), default=0) + 1
    rows = yield Execute(
        "INSERT INTO conversation_groups(user_id, name, number) VALUES(?,?,?) ON CONFLICT DO NOTHING RETURNING number",
        (user, name, number),
    )
    if not rows:
        raise InvalidArgument(f"another device of {user!r} has just created a conversation group; try again", code=BAD_LABEL)
    yield Execute("DELETE FROM conversation_labels WHERE user_id=? AND label=?", (user, f"g{number}"))  # of a deleted group
    return (yield from change_group(user, name, conversations, (), limits))


def rename_group(user: str, old: str, new: str) -> Operation[int]:
    """Update the name of a group. Raises InvalidArgument."""
    number = yield from _number_of(user, old)
    if new != old and new in (yield from groups(user)):
        raise InvalidArgument(f"{user!r} has a conversation group {new!r} already", code=BAD_LABEL)
    yield Execute("UPDATE conversation_groups SET name=? WHERE user_id=? AND name=?", (new, user, old))
    return number


def delete_group(user: str, name: str) -> Operation[int]:
    """Delete the row of a group, and those of its conversations. Raises InvalidArgument."""
    number = yield from _number_of(user, name)
    yield Execute("DELETE FROM conversation_groups WHERE user_id=? AND name=?", (user, name))
    yield Execute("DELETE FROM conversation_labels WHERE user_id=? AND label=?", (user, f"g{number}"))
    return number


def change_group(user: str, name: str, added: Sequence[str], removed: Sequence[str], limits: LabelLimits) -> Operation[int]:
    """Insert and delete rows of conversations in a group. Raises InvalidArgument, LimitReached."""
    number = yield from _number_of(user, name)
    yield ExecuteMany(_REMOVE, [(user, one, f"g{number}") for one in removed])
    yield ExecuteMany(_ADD, [(user, one, f"g{number}", "") for one in added])
    if added:
        yield from _check_limit(user, limits)
    return number
