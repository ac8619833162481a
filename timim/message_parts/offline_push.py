"""The offline push of a message."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidArgument
from ..util.arguments import Text, checked

__all__ = ["OfflinePush"]


@checked(InvalidArgument)
@dataclass(frozen=True, slots=True)
class OfflinePush:
    """Title and text of a message's offline push; `disable=True` sends none.

    Raises:
        InvalidArgument: A text is over 12 KB or has NUL.
    """

    title: Text = ""
    desc: Text = ""
    ext: Text = ""
    disable: bool = False
