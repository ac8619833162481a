"""All errors that timim raises, in one tree. The class determines the remedy, and `.code` is Tencent's number.

    TimimError
    ├── InvalidArgument         a wrong argument
    │   ├── ElemLimitError      a second sound or a second file in one message
    │   ├── InvalidElem         an elem whose content cannot be sent
    │   ├── InvalidConversation a call for another type of conversation
    │   ├── MessageTooLong      a message over the server's size limit
    │   └── AlreadySent         a Message object that was sent before
    ├── MessageWithdrawn        a message that was deleted before it was sent
    ├── StreamOverflow          an event stream whose reader was too slow
    ├── NotLoggedIn             a call that needs a login
    ├── AuthError               a login that the server refused
    │   ├── SignatureExpired    a UserSig past its validity, or a revoked one
    │   └── KickedOffline       a login that the server ended
    ├── ServerRefused           a request that the server refused
    │   ├── UnknownUser         no such account
    │   ├── UnknownGroup        no such group
    │   ├── NoPermission        an action that this account may not execute
    │   │   ├── NotAMember      an account that is not in the group
    │   │   └── OwnerCannotQuit a group's owner who tries to leave
    │   ├── Muted               a muted sender
    │   ├── Blacklisted         a user who blocked the other
    │   ├── NotFriends          an action between friends only
    │   ├── FriendRefused       a user who accepts no friends
    │   ├── AlreadyMember       a user who is in the group already
    │   ├── LimitReached        a full group or list
    │   ├── NoSuchApplication   no such application
    │   ├── GroupExists         a group id that is in use
    │   ├── RateLimited         too many requests
    │   ├── UnknownMessage      no such message
    │   ├── RecallTooLate       a recall after the time limit
    │   ├── AlreadyRecalled     an action on a recalled message
    │   ├── MsgIdConflict       a msg_id that names another message
    │   └── ServerFault         a failure of the server
    ├── NetworkError            no answer; queued messages stay queued
    │   ├── ConnectionFailed    no connection, or a lost one
    │   ├── RequestTimeout      no reply in time
    │   └── ProtocolError       a reply that the protocol does not allow
    ├── MediaError              content that cannot be read, sent or fetched
    │   ├── FileMissing         no such file
    │   ├── TooLarge            content over its size limit
    │   ├── EmptyFile           empty content
    │   ├── NotAnImage          bytes that are no supported picture
    │   ├── UploadFailed        a failed upload
    │   └── DownloadFailed      a failed download
    │       └── MediaGone       content that the server no longer has
    └── StorageError            a failure of a database
        ├── StoreCorrupted      a corrupt local store
        ├── StoreInUse          a data folder that is open elsewhere
        └── WrongStore          a local store of another account

`docs/reference/errors.md` lists the codes, the cause and the remedy of each class. `error_for` turns a reply's `ErrorCode`
into an instance of the class that lists the code in `codes`.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from .util.displayed import ShortTraceback
from .util.shown_text import shown_text

__all__ = [
    "AlreadyMember", "AlreadyRecalled", "AlreadySent", "AuthError", "Blacklisted", "ConnectionFailed", "DownloadFailed",
    "ElemLimitError", "EmptyFile", "FileMissing", "FriendRefused", "GroupExists", "InvalidArgument", "InvalidConversation",
    "InvalidElem", "KickedOffline", "LimitReached", "MediaError", "MediaGone", "MessageTooLong", "MessageWithdrawn",
    "MsgIdConflict", "Muted", "NetworkError", "NoPermission", "NoSuchApplication", "NotAMember", "NotAnImage", "NotFriends",
    "NotLoggedIn", "OwnerCannotQuit", "ProtocolError", "RateLimited", "RecallTooLate", "RequestTimeout", "ServerFault",
    "ServerRefused", "SignatureExpired", "StorageError", "StoreCorrupted", "StoreInUse", "StreamOverflow", "TimimError",
    "TooLarge", "UnknownGroup", "UnknownMessage", "UnknownUser", "UploadFailed", "WrongStore", "error_for",
]  # fmt: skip

Codes: TypeAlias = tuple[int, ...]
_BY_CODE: dict[int, type[TimimError]] = {}


class TimimError(ShortTraceback, Exception):
    """Base class of all errors that timim raises.

    Attributes:
        code: Tencent's number for the error; 0 if Tencent has none.
        info: The text of the error, without the code.
        retry_after: Seconds after which a retry can succeed; None if waiting does not help or the time is unknown.
        codes: The codes of replies that become this class.
    """

    code: int = 0
    codes: ClassVar[Codes] = ()

    def __init__(self, info: str = "", *, code: int | None = None, retry_after: float | None = None) -> None:
        self.info: str = info.encode(errors="backslashreplace").decode()  # file names can have surrogates
        super().__init__(self.info)
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
    """Error in the arguments of a call; nothing was stored or sent. Correct the call."""

    code: int = 6017
    codes: ClassVar[Codes] = (6017, 10004, 10015, 10037, 10038, 20001, 30001, 40001, 50002, 90001, 90003, 90007, 90008, 90011)


class ElemLimitError(InvalidArgument):
    """Second sound or second file in one message; the message is unchanged. Send another message."""

    code: int = 1


class InvalidElem(InvalidArgument):
    """Elem that cannot be sent; the text names the field and its limit."""

    code: int = 6016
    codes: ClassVar[Codes] = (6016, 90002, 90010)


class InvalidConversation(InvalidArgument):
    """Call that does not apply to this type of conversation."""

    code: int = 6004


class MessageTooLong(InvalidArgument):
    """Message over the server's limit, all its parts together; split the text, or send a file."""

    code: int = 8001
    codes: ClassVar[Codes] = (8001, 93000, 80002)


class AlreadySent(InvalidArgument):
    """Message object that was sent before; make a new Message."""


class MessageWithdrawn(TimimError):
    """Message that this client deleted before it was sent, raised by its `send()`; no other device gets the message."""


class StreamOverflow(TimimError):
    """End of an event stream whose reader was too slow; open a new stream, and query the missed messages."""

    code: int = 6017


class NotLoggedIn(TimimError):
    """Call that needs a login, or an open local store; call `login()` or `open()` first."""

    code: int = 6014
    codes: ClassVar[Codes] = (6013, 6014)


class AuthError(TimimError):
    """Login that the server refused; log in with a new UserSig."""

    code: int = 70003
    codes: ClassVar[Codes] = (70002, 70003, 70005, 70009, 70013, 70014, 70402, 70403)


class SignatureExpired(AuthError):
    """UserSig past its validity, or revoked by an administrator (70052); sign a new one."""

    code: int = 70001
    codes: ClassVar[Codes] = (70001, 6206, 70052)


class KickedOffline(AuthError):
    """Login that ended because another device took its device slot, or an administrator ended it."""

    code: int = 6208
    codes: ClassVar[Codes] = (6208,)


class ServerRefused(TimimError):
    """Request that the server refused; `code` and `info` name the reason."""


class UnknownUser(ServerRefused):
    """User id without an account; an account exists after its first login or its import by an administrator."""

    code: int = 20003
    codes: ClassVar[Codes] = (20003, 90048, 70107)


class UnknownGroup(ServerRefused):
    """Group id without a group."""

    code: int = 10010
    codes: ClassVar[Codes] = (10010,)


class NoPermission(ServerRefused):
    """Action that this account may not execute."""

    code: int = 10007
    codes: ClassVar[Codes] = (10007, 90009)


class NotAMember(NoPermission):
    """Account that is not in the group."""

    reason: ClassVar[str] = "not_a_member"


class OwnerCannotQuit(NoPermission):
    """Owner who tries to leave a group; transfer the ownership, or dissolve the group."""

    code: int = 10009
    codes: ClassVar[Codes] = (10009,)


class Muted(ServerRefused):
    """Sender who is muted; `retry_after` gives the seconds left if the server names them."""

    code: int = 10017
    codes: ClassVar[Codes] = (10017, 20012)


class Blacklisted(ServerRefused):
    """Request between two users of whom one has blocked the other."""

    code: int = 20007
    codes: ClassVar[Codes] = (20007, 30515, 30525)


class NotFriends(ServerRefused):
    """Action that is allowed between friends only."""

    code: int = 20009
    codes: ClassVar[Codes] = (20009, 20010, 20011, 31704)


class FriendRefused(ServerRefused):
    """Friend request to a user who accepts no friend requests."""

    code: int = 30516
    codes: ClassVar[Codes] = (30516,)


class AlreadyMember(ServerRefused):
    """User who is in the group already."""

    code: int = 10013
    codes: ClassVar[Codes] = (10013,)


class LimitReached(ServerRefused):
    """Group, friend list, blacklist or quota (drafts, settings, groups) that is full; the text names the limit."""

    code: int = 10014
    codes: ClassVar[Codes] = (10014, 30010, 30011, 30012, 30013, 30014)


class NoSuchApplication(ServerRefused):
    """Application that does not exist, or that was answered already."""

    code: int = 30614
    codes: ClassVar[Codes] = (30614, 10032)


class GroupExists(ServerRefused):
    """Group id that is in use."""

    code: int = 10021
    codes: ClassVar[Codes] = (10021, 10025)


class RateLimited(ServerRefused):
    """Request beyond the rate limit; retry after `retry_after` seconds."""

    code: int = 10023
    codes: ClassVar[Codes] = (10023, 9506, 60007, 60011)


class UnknownMessage(ServerRefused):
    """Message that the server does not have."""

    code: int = 10030
    codes: ClassVar[Codes] = (10030, 20022)


class RecallTooLate(ServerRefused):
    """Recall after the server's time limit."""

    code: int = 10031
    codes: ClassVar[Codes] = (10031, 20016)


class AlreadyRecalled(ServerRefused):
    """Edit of, or reaction to, a message that was recalled."""

    code: int = 20023
    codes: ClassVar[Codes] = (20023,)


class MsgIdConflict(ServerRefused):
    """Message with a msg_id that its sender already used for a message with another body."""

    code: int = 90005
    codes: ClassVar[Codes] = (90005,)


class ServerFault(ServerRefused):
    """Failure of the server, or a message at which the connection ends each time; nothing was stored. Retry later."""

    code: int = 60002
    codes: ClassVar[Codes] = (60002, 10002, 90994)


class NetworkError(TimimError):
    """Request without an answer; messages that were accepted for sending stay queued."""

    code: int = 9508


class ConnectionFailed(NetworkError):
    """Connection that could not be made, or was lost before the reply."""

    codes: ClassVar[Codes] = (9508,)


class RequestTimeout(NetworkError):
    """Reply that did not arrive in time on a working connection."""

    code: int = 6012
    codes: ClassVar[Codes] = (6012, 9520)


class ProtocolError(NetworkError):
    """Received data that violates the protocol."""

    code: int = 60003
    codes: ClassVar[Codes] = (60003,)


class MediaError(TimimError):
    """File, picture or sound that cannot be read, sent or fetched."""

    code: int = 6022


class FileMissing(MediaError):
    """Path without a file."""

    code: int = 7004
    codes: ClassVar[Codes] = (7004,)


class TooLarge(MediaError):
    """Content over its size limit; the text names the limit."""

    code: int = 7005
    codes: ClassVar[Codes] = (7005,)


class EmptyFile(MediaError):
    """Content of 0 bytes."""

    code: int = 7006
    codes: ClassVar[Codes] = (7006,)


class NotAnImage(MediaError):
    """Bytes that are no supported picture, or a damaged one."""

    code: int = 6031
    codes: ClassVar[Codes] = (6031,)


class UploadFailed(MediaError):
    """Upload that failed; no message was sent."""

    code: int = 6008
    codes: ClassVar[Codes] = (6008,)


class DownloadFailed(MediaError):
    """Download that failed; no partial file is left."""

    code: int = 6009
    codes: ClassVar[Codes] = (6009,)


class MediaGone(DownloadFailed):
    """Content that the server no longer has, or that this account may not read."""


class StorageError(TimimError):
    """Failure of a database: the disk is full, not writable, or damaged."""

    code: int = 6022
    codes: ClassVar[Codes] = (6022,)


class StoreCorrupted(StorageError):
    """Corrupt local store; the next `open()` or `login()` replaces the file."""


class StoreInUse(StorageError):
    """Data folder that another process, or another Client in this process, has open."""


class WrongStore(StorageError):
    """Local store that belongs to another account, because its file was copied or its folder was renamed."""


def error_for(code: int, info: str, *, reason: str = "", retry_after: float | None = None) -> TimimError:
    """Return, without raising, the error for a reply's ErrorCode, ErrorInfo and ErrorReason (a timim extension)."""
    if reason == NotAMember.reason:
        return NotAMember(shown_text(info), code=code, retry_after=retry_after)
    return _BY_CODE.get(code, ServerRefused)(shown_text(info), code=code, retry_after=retry_after)
