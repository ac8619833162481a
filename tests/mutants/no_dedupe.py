"""A server that forgets which messages it has: a resend is stored again."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import timim.server.store.sqlite as store
from timim.cli import main
from timim.server.store.base import Appended, NewEntry

append = store._append


def append_always(connection: sqlite3.Connection, entry: NewEntry) -> Appended:
    return append(connection, replace(entry, msg_key=None))


store._append = append_always

if __name__ == "__main__":
    main()
