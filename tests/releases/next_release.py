"""The release after this one, as far as the database can tell: its schema has a step more, which only adds."""

from __future__ import annotations

from timim.cli import main
from timim.server.store import schema

TABLES = ("accounts", "circles", "contacts", "entries", "groups", "members", "meta", "msg_keys", "timelines")
STEP = "".join(f"ALTER TABLE {table} ADD COLUMN later INTEGER NOT NULL DEFAULT 1;\n" for table in TABLES)
STEP += "CREATE TABLE later(user_id TEXT PRIMARY KEY, more TEXT NOT NULL) WITHOUT ROWID;\n"
STEP += "CREATE INDEX entries_later ON entries(timeline, later);\n"

schema.STEPS = (*schema.STEPS, STEP)  # type: ignore[assignment]
schema.VERSION = len(schema.STEPS)

if __name__ == "__main__":
    main()
