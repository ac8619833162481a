"""Messages as a data frame of pandas, one row a message, the oldest first. The extra `dataframe` has pandas.

A frame goes on to polars by Arrow: `polars.from_pandas(frame)`, which needs pyarrow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidArgument
from ..message import Message
from ..message_parts.text_form import kind_of

if TYPE_CHECKING:
    from pandas import DataFrame
else:
    DataFrame = Any  # the checks of arguments read the types of functions

__all__ = ["COLUMNS", "DataFrame", "dataframe_of"]

AT_ONCE = 500  # messages whose elems are decoded before other tasks run: 5 to 10 ms

COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "seq": "int64",
        "time": "datetime64[s, UTC]",
        "conversation": "string",
        "sender": "string",
        "nickname": "string",
        "is_self": "bool",
        "is_read": "bool",
        "status": "string",
        "kinds": "string",
        "text": "string",
        "reply_to": "Int64",
        "version": "int64",
        "recalled": "bool",
        "reactions": "int64",
        "bytes": "int64",
        "msg_id": "string",
        "unique_id": "int64",
    }
)
"""The columns of a frame, in order, and their dtypes. docs/how-to/analyse_messages.md explains each."""


async def dataframe_of(messages: Iterable[Message]) -> DataFrame:
    """Return messages, given newest first, as a frame. A thread imports pandas and makes the frame.

    Raises:
        InvalidArgument: pandas is not installed; install `timim[dataframe]`.
    """
    rows = []
    for number, message in enumerate(messages, 1):
        rows.append(_row(message))
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    rows.reverse()
    return await asyncio.to_thread(_frame, rows)


def _row(message: Message) -> tuple[object, ...]:
    quote, profile = message.reply_to, message.sender_profile
    return (
        message.seq,
        message.timestamp,
        str(message.key) if message.key else "",
        message.sender,
        profile.nickname if profile else "",
        message.is_self,
        message.is_read,
        message.status.name.lower() if message.status else "not sent",
        ", ".join(map(kind_of, message.elems)),
        message.text,
        quote.seq if quote is not None and quote.seq else None,
        message.version,
        message.recalled,
        sum(len(users) for users in message.reactions.values()),
        sum(getattr(elem, "size", 0) for elem in message.elems),
        message.msg_id,
        message.unique_id,
    )


def _frame(rows: list[tuple[object, ...]]) -> DataFrame:
    try:
        import pandas as pd
    except ImportError as exc:
        raise InvalidArgument(f"a data frame needs the package {exc.name}; run pip install 'timim[dataframe]'") from None
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True)
    return frame.astype(dict(COLUMNS))
