"""Persistent settings of a server in SQL: one text for each name."""

from __future__ import annotations

from .operation import Execute, Operation, first_row


def get(key: str) -> Operation[str | None]:
    row = yield from first_row("SELECT value FROM meta WHERE key=?", key)
    return row[0] if row else None


def ensure(key: str, default: str) -> Operation[str]:
    yield Execute("INSERT INTO meta VALUES(?,?) ON CONFLICT(key) DO NOTHING", (key, default))
    return (yield from get(key)) or default


def set_value(key: str, value: str) -> Operation[None]:
    yield Execute("INSERT INTO meta VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value", (key, value))
