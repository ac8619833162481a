"""Checks of the versions of accounts, groups and relationships from which something was decided, in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from .mutations import StaleRead
from .operation import Execute, Operation
from .version_checks import VersionCheck, VersionedKind

_QUERIES = {
    VersionedKind.ACCOUNT: "SELECT 1, user_id, version FROM accounts WHERE user_id IN ({})",
    VersionedKind.GROUP: "SELECT 2, group_id, version FROM groups WHERE dissolved=0 AND group_id IN ({})",
    VersionedKind.RELATIONSHIPS: "SELECT 3, user_id, version FROM circles WHERE user_id IN ({})",
}


def outdated(checks: Sequence[VersionCheck]) -> Operation[bool]:
    """Return True if one of the checks fails."""
    keys = {kind: [check.key for check in checks if check.kind is kind] for kind in VersionedKind}
    asked = {kind: named for kind, named in keys.items() if named}
    if not asked:
        return False
    sql = " UNION ALL ".join(_QUERIES[kind].format(",".join("?" * len(named))) for kind, named in asked.items())
    rows = yield Execute(sql, [key for named in asked.values() for key in named])
    found = {(kind, key): version for kind, key, version in rows}
    return any(_fails(check, found.get((check.kind, check.key))) for check in checks)


def require_current(checks: Sequence[VersionCheck]) -> Operation[None]:
    """Check the versions in the transaction of a write. Raises StaleRead."""
    if checks and (yield from outdated(checks)):
        raise StaleRead("another node changed an account or group that this write depends on; decide again")


def _fails(check: VersionCheck, version: int | None) -> bool:
    if version is None:
        return check.kind is not VersionedKind.RELATIONSHIPS  # users without relationships have no row
    return version > check.version  # a lower one: a change of this node is not committed yet
