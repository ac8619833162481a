"""All errors that timim raises, in one tree. The class tells the caller the remedy; `.code` is Tencent's number.

    TimimError
    ├── InvalidArgument        6017, 10004, 10015, 10037, 10038, 30001, 40001, 900xx: the call is wrong: correct it
    │   ├── ElemLimitError     1: a second sound or a second file in one message
    │   ├── InvalidElem        6016: an elem whose content cannot be sent
    │   ├── InvalidConversation 6004: no such kind of conversation for this call
    │   ├── MessageTooLong     8001: over the limit that the server told at login
    │   └── AlreadySent        a Message object is sent once; make a new one
    ├── StreamOverflow         an event stream's reader was too slow: ask the queries, open another
    ├── NotLoggedIn            6014: log in first
    ├── AuthError              login refused: get another signature
    │   ├── SignatureExpired   70001
    │   └── KickedOffline      6208: another login took this device's place
    ├── ServerRefused          the server understood and said no
    │   ├── UnknownUser        20003: no such account
    │   ├── UnknownGroup       10010: no such group
    │   ├── NoPermission       10007: not allowed to do this
    │   │   ├── NotAMember     10007: not in this group
    │   │   └── OwnerCannotQuit 10009: pass the group on, or dissolve it
    │   ├── Muted              10017, 20012: may not speak; until when, says `retry_after`
    │   ├── Blacklisted        20007, 30515, 30525: one has the other on the blacklist
    │   ├── NotFriends         20009 to 20011, 31704: only friends may do this
    │   ├── FriendRefused      30516: this user lets nobody add them
    │   ├── AlreadyMember      10013: in the group already
    │   ├── LimitReached       10014, 30010 to 30014: a group or a list is full
    │   ├── NoSuchApplication  10032, 30614: it was answered already, or never made
    │   ├── GroupExists        10021: the group id is taken
    │   ├── RateLimited        10023: too often; wait `retry_after` seconds
    │   ├── UnknownMessage     10030, 20022: there is no such message to act on
    │   ├── RecallTooLate      10031, 20016: the time in which a message can be recalled is over
    │   ├── AlreadyRecalled    20023: the message was recalled: there is nothing left to edit or react to
    │   ├── MsgIdConflict      90005: this msg_id names another message already
    │   └── ServerFault        60002, 10002, 90994: the server failed; nothing was stored
    ├── NetworkError           no answer; what was queued stays queued
    │   ├── ConnectionFailed   9508: could not connect, or the connection was lost
    │   ├── RequestTimeout     6012: connected, but no reply in time
    │   └── ProtocolError      the other side sent what the protocol does not allow
    ├── MediaError             a file, picture or sound could not be taken
    │   ├── FileMissing        7004
    │   ├── TooLarge           7005
    │   ├── EmptyFile          7006
    │   ├── NotAnImage         6031
    │   ├── UploadFailed       6008
    │   └── DownloadFailed     6009
    │       └── MediaGone      6009: the server no longer has it
    └── StorageError           6022: the local or the server's database failed
        ├── StoreCorrupted     the file is not whole; a client replaces it when it is opened the next time
        └── StoreInUse         another process has this data folder open

A reply's `ErrorCode` becomes a class through `error_for`; classes register by the codes they name.
"""

from __future__ import annotations

from typing import ClassVar

# Not one name a line: the list would be longer than the tree.
# fmt: off
__all__ = [
    "AlreadyMember", "AlreadyRecalled", "AlreadySent", "AuthError", "Blacklisted", "ConnectionFailed", "DownloadFailed",
    "ElemLimitError", "EmptyFile", "FileMissing", "FriendRefused", "GroupExists", "InvalidArgument", "InvalidConversation",
    "InvalidElem", "KickedOffline", "LimitReached", "MediaError", "MediaGone", "MessageTooLong", "MsgIdConflict", "Muted",
    "NetworkError", "NoPermission", "NoSuchApplication", "NotAMember", "NotAnImage", "NotFriends", "NotLoggedIn",
    "OwnerCannotQuit", "ProtocolError", "RateLimited", "RecallTooLate", "RequestTimeout", "ServerFault", "ServerRefused",
    "SignatureExpired", "StorageError", "StoreCorrupted", "StoreInUse", "StreamOverflow", "TimimError", "TooLarge",
    "UnknownGroup", "UnknownMessage", "UnknownUser", "UploadFailed", "error_for",
]
# fmt: on

_BY_CODE: dict[int, type[TimimError]] = {}


class TimimError(Exception):
    """The root. `code` is TIM's number, `info` the text, `retry_after` seconds to wait where waiting helps."""

    code: int = 0
    codes: ClassVar[tuple[int, ...]] = ()  # reply codes this class stands for

    def __init__(self, info: str = "", *, code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(info)
        self.info: str = info
        self.retry_after: float | None = retry_after
        if code is not None:
            self.code = code

    def __init_subclass__(cls) -> None:
        for code in cls.__dict__.get("codes", ()):
            if code in _BY_CODE:
                raise TypeError(f"code {code} belongs to {_BY_CODE[code].__name__} and {cls.__name__}")
            _BY_CODE[code] = cls

    def __str__(self) -> str:
        return f"{self.info} (code {self.code})" if self.code else self.info


class InvalidArgument(TimimError):
    """The call is wrong as it stands; nothing was stored or sent."""

    code: int = 6017
    codes: ClassVar[tuple[int, ...]] = (
        6017,
        10004,
        10015,
        10037,
        10038,
        20001,
        30001,
        40001,
        90001,
        90003,
        90007,
        90008,
        90011,
    )


class ElemLimitError(InvalidArgument):
    """A message holds at most one sound and at most one file; the message is unchanged."""

    code: int = 1


class InvalidElem(InvalidArgument):
    """An elem's content cannot be sent; the text names the field and its limit."""

    code: int = 6016
    codes: ClassVar[tuple[int, ...]] = (6016, 90002, 90010)


class InvalidConversation(InvalidArgument):
    """This call does not apply to this kind of conversation."""

    code: int = 6004


class MessageTooLong(InvalidArgument):
    """The message's body is over the limit; split it, or send a file."""

    code: int = 8001
    codes: ClassVar[tuple[int, ...]] = (8001, 93000, 80002)


class AlreadySent(InvalidArgument):
    """This Message object was sent before; make a new one."""


class StreamOverflow(TimimError):
    """More events waited for the reader of a stream than it holds; it has ended."""

    code: int = 6017


class NotLoggedIn(TimimError):
    """The client is not logged in."""

    code: int = 6014
    codes: ClassVar[tuple[int, ...]] = (6013, 6014)


class AuthError(TimimError):
    """The server refused this login."""

    code: int = 70003
    codes: ClassVar[tuple[int, ...]] = (70002, 70003, 70005, 70009, 70013, 70014, 70402, 70403)


class SignatureExpired(AuthError):
    """The UserSig's time is over; sign a new one."""

    code: int = 70001
    codes: ClassVar[tuple[int, ...]] = (70001, 6206)


class KickedOffline(AuthError):
    """Another login took this device's place, or an administrator ended it."""

    code: int = 6208
    codes: ClassVar[tuple[int, ...]] = (6208,)


class ServerRefused(TimimError):
    """The server understood and refused; `code` and `info` say why."""


class UnknownUser(ServerRefused):
    """No such account: it exists from its first login on, or once an administrator imports it."""

    code: int = 20003
    codes: ClassVar[tuple[int, ...]] = (20003, 90048, 70107)


class UnknownGroup(ServerRefused):
    """No such group."""

    code: int = 10010
    codes: ClassVar[tuple[int, ...]] = (10010,)


class NoPermission(ServerRefused):
    """The account may not do this."""

    code: int = 10007
    codes: ClassVar[tuple[int, ...]] = (10007, 90009)


class NotAMember(NoPermission):
    """The account is not in this group."""

    reason: ClassVar[str] = "not_a_member"


class OwnerCannotQuit(NoPermission):
    """The owner of such a group cannot leave it: pass it on first, or dissolve it."""

    code: int = 10009
    codes: ClassVar[tuple[int, ...]] = (10009,)


class Muted(ServerRefused):
    """May not speak there; `retry_after` seconds when it is known how long."""

    code: int = 10017
    codes: ClassVar[tuple[int, ...]] = (10017, 20012)


class Blacklisted(ServerRefused):
    """One of the two has the other on the blacklist."""

    code: int = 20007
    codes: ClassVar[tuple[int, ...]] = (20007, 30515, 30525)


class NotFriends(ServerRefused):
    """Only friends may do this."""

    code: int = 20009
    codes: ClassVar[tuple[int, ...]] = (20009, 20010, 20011, 31704)


class FriendRefused(ServerRefused):
    """This user's profile lets nobody add them."""

    code: int = 30516
    codes: ClassVar[tuple[int, ...]] = (30516,)


class AlreadyMember(ServerRefused):
    """The user is in the group already."""

    code: int = 10013
    codes: ClassVar[tuple[int, ...]] = (10013,)


class LimitReached(ServerRefused):
    """A group, a friend list or a blacklist is full; the text says which and its limit."""

    code: int = 10014
    codes: ClassVar[tuple[int, ...]] = (10014, 30010, 30011, 30012, 30013, 30014)


class NoSuchApplication(ServerRefused):
    """There is no such application: it was answered already, or never made."""

    code: int = 30614
    codes: ClassVar[tuple[int, ...]] = (30614, 10032)


class GroupExists(ServerRefused):
    """The group id is taken."""

    code: int = 10021
    codes: ClassVar[tuple[int, ...]] = (10021, 10025)


class RateLimited(ServerRefused):
    """Too often; wait `retry_after` seconds."""

    code: int = 10023
    codes: ClassVar[tuple[int, ...]] = (10023, 9506)


class UnknownMessage(ServerRefused):
    """There is no such message to act on."""

    code: int = 10030
    codes: ClassVar[tuple[int, ...]] = (10030, 20022)


class RecallTooLate(ServerRefused):
    """The time in which its sender can recall a message is over."""

    code: int = 10031
    codes: ClassVar[tuple[int, ...]] = (10031, 20016)


class AlreadyRecalled(ServerRefused):
    """The message was recalled: there is nothing left of it to edit or to react to."""

    code: int = 20023
    codes: ClassVar[tuple[int, ...]] = (20023,)


class MsgIdConflict(ServerRefused):
    """The sender already used this msg_id for a message with another body."""

    code: int = 90005
    codes: ClassVar[tuple[int, ...]] = (90005,)


class ServerFault(ServerRefused):
    """The server failed to do it; nothing was stored."""

    code: int = 60002
    codes: ClassVar[tuple[int, ...]] = (60002, 10002, 90994)


class NetworkError(TimimError):
    """No answer. What was accepted for sending stays queued."""

    code: int = 9508


class ConnectionFailed(NetworkError):
    """Could not connect, or the connection was lost before the reply."""

    codes: ClassVar[tuple[int, ...]] = (9508,)


class RequestTimeout(NetworkError):
    """Connected, but the reply did not come in time."""

    code: int = 6012
    codes: ClassVar[tuple[int, ...]] = (6012, 9520)


class ProtocolError(NetworkError):
    """The other side sent what the protocol does not allow."""

    code: int = 60003
    codes: ClassVar[tuple[int, ...]] = (60003,)


class MediaError(TimimError):
    """A file, picture or sound could not be taken, sent or fetched."""

    code: int = 6022


class FileMissing(MediaError):
    """No such file."""

    code: int = 7004
    codes: ClassVar[tuple[int, ...]] = (7004,)


class TooLarge(MediaError):
    """Over the size limit."""

    code: int = 7005
    codes: ClassVar[tuple[int, ...]] = (7005,)


class EmptyFile(MediaError):
    """There is nothing in it."""

    code: int = 7006
    codes: ClassVar[tuple[int, ...]] = (7006,)


class NotAnImage(MediaError):
    """The bytes are no picture of a kind that timim takes."""

    code: int = 6031
    codes: ClassVar[tuple[int, ...]] = (6031,)


class UploadFailed(MediaError):
    """The upload did not end well; nothing was sent."""

    code: int = 6008
    codes: ClassVar[tuple[int, ...]] = (6008,)


class DownloadFailed(MediaError):
    """The download did not end well; no partial file is left."""

    code: int = 6009
    codes: ClassVar[tuple[int, ...]] = (6009,)


class MediaGone(DownloadFailed):
    """The server no longer has these bytes, or this account may not have them."""


class StorageError(TimimError):
    """The database failed: disk full, not writable, or damaged."""

    code: int = 6022
    codes: ClassVar[tuple[int, ...]] = (6022,)


class StoreCorrupted(StorageError):
    """The database file is not whole."""


class StoreInUse(StorageError):
    """Another process, or another Client in this one, has the data folder open."""


def error_for(code: int, info: str, *, reason: str = "", retry_after: float | None = None) -> TimimError:
    """Return the exception for a reply's ErrorCode, ErrorInfo and ErrorReason (timim's own)."""
    if reason == NotAMember.reason:
        return NotAMember(info, code=code, retry_after=retry_after)
    return _BY_CODE.get(code, ServerRefused)(info, code=code, retry_after=retry_after)
