"""Features that Tencent's web client uses only if the server says that they were bought. timim opens those that it serves.

The client refuses the methods of the other features by itself (3122), and sends no request.
"""

from __future__ import annotations

import enum
from collections.abc import Collection


class WebFeature(enum.IntEnum):
    """Features by the place of their bit in `PurchaseBits`; the last character of this text is bit 0."""

    LIVE_HISTORY = 2
    LIVE_MEMBERS = 6
    LIVE_BANS = 11
    CONVERSATION_MARKS = 9
    CONVERSATION_GROUPS = 10
    USER_STATUS = 7
    MESSAGE_EXTENSIONS = 13
    GROUP_COUNTERS = 15
    TRANSLATION = 38
    VOICE_TO_TEXT = 39
    REACTIONS = 48
    FOLLOWS = 52


SERVED_FEATURES = frozenset(WebFeature)
BITS = 64
FOREVER_S = 1 << 30  # until the client asks again for the bits, which change only with the version of the server


def purchase_bits(features: Collection[WebFeature]) -> str:
    """Return the text of a set of features."""
    return f"{sum(1 << feature for feature in features):0{BITS}b}"
