"""Versions of accounts, groups and relationships that a write requires."""

from __future__ import annotations

import enum
from typing import NamedTuple


class VersionedKind(enum.IntEnum):
    """The entities that have versions."""

    ACCOUNT = 1
    GROUP = 2
    RELATIONSHIPS = 3


class VersionCheck(NamedTuple):
    """A version that was read: the check fails if a later one is stored, or if the entity does not exist any more."""

    kind: VersionedKind
    key: str
    version: int
