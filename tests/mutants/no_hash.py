"""A server that accepts any bytes for an upload without checking the announced hash."""

from __future__ import annotations

import hashlib
from typing import cast

from timim.cli import main
from timim.server.content.uploads import Uploads


class Anything(str):
    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class Blind:
    def update(self, data: bytes) -> None:
        pass

    def hexdigest(self) -> str:
        return Anything()


def believe(self: Uploads, object: str, offset: int) -> hashlib._Hash:
    return cast("hashlib._Hash", Blind())


Uploads._hash_at = believe  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
