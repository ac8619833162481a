"""The notices of events that need no change of the screen."""

from __future__ import annotations

from timim import (
    ClientEvent,
    ConversationSyncFailed,
    HistoryReset,
    MessageFailed,
    SettingRefused,
    SignatureExpiring,
    StoreReplaced,
)

from .text import clean


def notice_of(event: ClientEvent) -> str:
    """Return the notice of an event; "" if it has none."""
    match event:
        case MessageFailed(_, error):
            text = f"a message was not sent: {error}"
        case SettingRefused(conversation, setting, error):
            text = f"{conversation}: {setting.value} was refused: {error}"
        case ConversationSyncFailed(conversation, error):
            text = f"{conversation or 'the list'} could not be synced: {error}"
        case StoreReplaced(path):
            text = f"the local store was corrupt and was replaced; the old one is {path}"
        case HistoryReset():
            text = "the server was restored from a back-up; the history is fetched again"
        case SignatureExpiring():
            text = "the UserSig of this login ends soon"
        case _:
            text = ""
    return clean(text)
