"""A later release whose migration renames a column that the previous release reads, so that older nodes fail."""

from __future__ import annotations

from timim.cli import main
from timim.server.store import schema

schema.STEPS = (*schema.STEPS, "ALTER TABLE entries RENAME COLUMN tail TO content;")
schema.VERSION = len(schema.STEPS)

if __name__ == "__main__":
    main()
