"""A changeset in SQL: its changes and its entries are written in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from . import accounts, callbacks, groups, timelines, versions
from . import mutations as ch
from .entities import ReadVersions
from .entries import Appended, NewEntry
from .new_callbacks import NewCallback
from .operation import Operation
from .version_checks import VersionCheck


def apply(
    changes: Sequence[ch.Change],
    entries: Sequence[NewEntry],
    read: ReadVersions,
    checks: Sequence[VersionCheck],
    reports: Sequence[NewCallback] = (),
) -> Operation[list[Appended]]:
    """Write changes, then append entries, then insert callbacks. Raises GroupExists, MsgIdConflict, StaleRead."""
    yield from groups.check_versions(read)
    yield from accounts.check_versions(read)
    yield from versions.require_current(checks)
    for change in changes:
        if isinstance(change, ch.GroupChange):
            yield from groups.apply(change)
        else:
            yield from accounts.apply(change)
    appended: list[Appended] = []
    for entry in entries:
        appended += [(yield from timelines.append(entry))]
    yield from callbacks.insert(reports)
    return appended
