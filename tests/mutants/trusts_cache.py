"""A server that trusts its cache: no version of a cached entity is checked, on a bus that is late and loses announcements."""

from __future__ import annotations

import tests.support.lossy_bus  # noqa: F401  the same bus as in the test
from timim.cli import main
from timim.server.social.cached_reads import CachedReads
from timim.server.store.version_checks import VersionedKind


def nothing(self: CachedReads, kind: VersionedKind, key: str, version: int) -> None:
    """Note nothing."""


CachedReads.use = nothing  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
