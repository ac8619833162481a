"""A server that stores bodies as earlier versions did, and sends stored entries as they are."""

from __future__ import annotations

from tests.mutants import stores_any_text
from timim.cli import main
from timim.server.store import entries

__all__ = ["stores_any_text"]


def unchanged(payload: bytes) -> bytes:
    return payload


entries.readable_payload = unchanged  # type: ignore[attr-defined]

if __name__ == "__main__":
    main()
