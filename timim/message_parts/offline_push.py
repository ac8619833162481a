"""The offline push of a message."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import InvalidArgument
from ..util.arguments import Text, VendorFields, checked

__all__ = ["OfflinePush"]


@checked(InvalidArgument)
@dataclass(frozen=True, slots=True)
class OfflinePush:
    """Title and text of a message's offline push; `disable=True` sends none.

    The server passes `android` and `apns` on to the push service as they are. The whole push may have 4,096 bytes as JSON.

    Args:
        title: Title; by default the sender's name.
        desc: Text; by default the text of all elems.
        ext: Text for the app that opens the push.
        disable: Send no push.
        android: Fields of Tencent's `AndroidInfo`, `{"Sound": "ding.mp3", "OPPOChannelID": "news"}` for example.
        apns: Fields of Tencent's `ApnsInfo`, `{"Sound": "ding.aiff", "BadgeMode": 1}` for example.

    Raises:
        InvalidArgument: A text is over 12 KB or has NUL, or a value is neither a text nor an integer of 64 bits.
    """

    title: Text = ""
    desc: Text = ""
    ext: Text = ""
    disable: bool = False
    android: VendorFields = field(default_factory=dict, hash=False)
    apns: VendorFields = field(default_factory=dict, hash=False)
