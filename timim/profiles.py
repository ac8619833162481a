"""Profiles and statuses of users. The cache has the version of each profile, so that the server sends changed profiles only."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import InvalidArgument, error_for
from .events import ProfileChanged
from .ids import UserId
from .protocol import do_not_disturb as quiet_wire
from .protocol import profiles as wire
from .protocol import statuses as status_wire
from .protocol.codec import Body
from .protocol.do_not_disturb import DoNotDisturb
from .protocol.numbers import fits
from .transport.connection import Connection
from .util.arguments import FieldTexts, Items, Text, checked
from .util.displayed import Displayed

__all__ = ["AllowType", "DoNotDisturb", "OwnProfile", "Profile", "Profiles", "Statuses", "UserStatus"]

CACHE_LIMIT = 10_000  # profiles in memory, about 5 MB


class AllowType(enum.StrEnum):
    """Policy for friend requests to a user: accepted automatically, after confirmation, or not at all."""

    ANY = wire.ALLOW_ANY
    CONFIRM = wire.NEED_CONFIRM
    DENY = wire.DENY_ANY


@dataclass(frozen=True, slots=True)
class Profile(Displayed):
    """Profile of a user. `details` has values by Tencent's tags without `Tag_Profile_IM_`, `custom` by the operator's keys.

    `group_invites` is CONFIRM if the user demands to be asked before being added to groups.
    """

    user_id: str
    nickname: str = ""
    face_url: str = ""
    allow: AllowType = AllowType.CONFIRM
    details: Mapping[str, str] = field(default_factory=dict)
    custom: Mapping[str, str] = field(default_factory=dict)
    version: int = 0
    group_invites: AllowType = AllowType.ANY


class ProfileCache:
    """Cache of the newest profiles that this client received, at most CACHE_LIMIT."""

    def __init__(self) -> None:
        self._profiles: dict[str, Profile] = {}

    def get(self, user_id: str) -> Profile | None:
        """Return a profile; None if it is not in the cache."""
        return self._profiles.get(user_id)

    def put(self, profile: Profile) -> None:
        """Store a profile, removing the oldest one if the cache is full."""
        self._profiles.pop(profile.user_id, None)
        if len(self._profiles) >= CACHE_LIMIT:
            del self._profiles[next(iter(self._profiles))]
        self._profiles[profile.user_id] = profile

    def apply(self, event: ProfileChanged) -> None:
        """Apply a change to a cached profile; remove the profile if an earlier change was missed."""
        known = self._profiles.get(event.user_id)
        if known is None or known.version >= event.version:
            return
        if known.version + 1 < event.version:
            del self._profiles[event.user_id]
            return
        self.put(_applied(known, event.fields, event.version))


@checked(InvalidArgument)
class Profiles(Displayed):
    """Profiles of all users, by user id: `client.profiles`."""

    def __init__(self, connection: Connection, cache: ProfileCache) -> None:
        self._connection = connection
        self._cache = cache

    async def get(self, user_ids: UserId | Items[UserId]) -> dict[str, Profile]:
        """Fetch the current profiles of these users, in this order.

        Raises:
            UnknownUser: One of the users does not exist (20003).
            InvalidArgument: An id cannot be a user id.
            NetworkError: The server did not answer.
            NotLoggedIn: The client is not logged in.
        """
        wanted = [user_ids] if isinstance(user_ids, str) else list(user_ids)
        found: dict[str, Profile] = {}
        for start in range(0, len(wanted), wire.USERS_AT_ONCE):
            accounts = wanted[start : start + wire.USERS_AT_ONCE]
            cached = {user: profile for user in accounts if (profile := self._cache.get(user)) is not None}
            found |= cached
            versions = [cached[user].version if user in cached else 0 for user in accounts]
            reply = await self._connection.call(
                wire.GET_PROFILES, wire.GetProfilesRequest(accounts=accounts, versions=versions)
            )
            for one in reply.users:
                if one.result:
                    raise error_for(one.result, one.info)
                if one.items:
                    found[one.account] = _profile(one)
                    self._cache.put(found[one.account])
        return {user: self._cache.get(user) or found[user] for user in wanted}

    def cached(self, user_id: UserId) -> Profile | None:
        """Return the last fetched profile, without I/O; None if it was not fetched. Profiles of friends are up to date."""
        return self._cache.get(user_id)


@checked(InvalidArgument)
class OwnProfile(Displayed):
    """Profile of this account: `client.profile`."""

    def __init__(self, connection: Connection, profiles: Profiles, user_id: str) -> None:
        self._connection = connection
        self._profiles = profiles
        self._user_id = user_id

    async def get(self) -> Profile:
        """Fetch this account's profile.

        Raises:
            InvalidArgument: 4096 requests wait for replies already.
            NetworkError: The server did not answer.
            NotLoggedIn: The client is not logged in.
        """
        return (await self._profiles.get([self._user_id]))[self._user_id]

    async def do_not_disturb(self) -> DoNotDisturb | None:
        """Fetch the time in which this account gets no offline pushes; None if there is none.

        Raises:
            InvalidArgument: 4096 requests wait for replies already.
            NetworkError: The server did not answer.
            NotLoggedIn: The client is not logged in.
        """
        return quiet_wire.quiet_time(await self._connection.call(quiet_wire.GET_DO_NOT_DISTURB, Body()))

    async def set_do_not_disturb(self, quiet: DoNotDisturb | None) -> None:
        """Set the time in which this account gets no offline pushes, of any conversation; None ends it.

        Messages are received and counted as before. Other devices of the account that are online get DoNotDisturbChanged.

        Raises:
            InvalidArgument: A time is out of range, the end is before the begin, or a daily time is longer than 24
                hours (90001).
            NetworkError: The server did not answer.
            NotLoggedIn: The client is not logged in.
        """
        body = quiet_wire.SetDoNotDisturbRequest()
        if quiet is not None:
            if not 0 <= quiet.start <= quiet.end or not fits(quiet.end):
                raise InvalidArgument(
                    f"quiet: must begin at 0 or later and end after that, in server seconds, but is {quiet!r:.100}"
                )
            body = quiet_wire.SetDoNotDisturbRequest(
                level=quiet_wire.QUIET, start=quiet.start, end=quiet.end, daily=int(quiet.daily)
            )
        await self._connection.call(quiet_wire.SET_DO_NOT_DISTURB, body)

    async def set(
        self,
        *,
        nickname: Text | None = None,
        face_url: Text | None = None,
        allow: AllowType | None = None,
        details: FieldTexts | None = None,
        custom: FieldTexts | None = None,
        group_invites: AllowType | None = None,
    ) -> None:
        """Change the given properties; an empty text removes a property.

        Friends and this account's other devices get a ProfileChanged event. Messages sent before keep the old profile.

        Args:
            nickname: At most 500 bytes, as for all values.
            face_url: The address of the user's picture.
            allow: Way in which others may add this account as a friend.
            details: Values by Tencent's tags without `Tag_Profile_IM_`.
            custom: Up to 20 values by the operator's keys of at most 8 bytes.
            group_invites: CONFIRM to be asked before being added to a group, ANY to be added without asking; DENY is not
                allowed. An invitation is a GroupNoticeReceived (INVITE_REQUESTED); answer it by
                `group.accept_invitation(user_id)` or `refuse_invitation(user_id)` with the own user id.

        Raises:
            InvalidArgument: A value is over its limit or not allowed (40001).
            NetworkError: The server did not answer.
            NotLoggedIn: The client is not logged in.
        """
        given: dict[str, str | None] = {wire.NICK: nickname, wire.FACE: face_url, wire.ALLOW: allow}
        given[wire.GROUP_INVITES] = group_invites
        given |= {f"Tag_Profile_IM_{name}": value for name, value in (details or {}).items()}
        given |= {wire.CUSTOM + key: value for key, value in (custom or {}).items()}
        items = [wire.ProfileItem(tag=tag, value=str(value)) for tag, value in given.items() if value is not None]
        if items:
            await self._connection.call(wire.SET_PROFILE, wire.SetProfileRequest(items=items))


def _profile(user: wire.UserProfile) -> Profile:
    fields = {item.tag: str(item.value) for item in user.items}
    return _applied(Profile(user.account), fields, user.version)


def _applied(profile: Profile, fields: Mapping[str, str], version: int) -> Profile:
    """Return the profile with these tags set; an empty value removes a tag."""
    details, custom = dict(profile.details), dict(profile.custom)
    for tag, value in fields.items():
        if tag.startswith(wire.CUSTOM):
            custom[tag.removeprefix(wire.CUSTOM)] = value
        elif tag not in (wire.NICK, wire.FACE, wire.ALLOW, wire.GROUP_INVITES):
            details[tag.removeprefix("Tag_Profile_IM_")] = value
    allow = fields.get(wire.ALLOW, profile.allow)
    invites = fields.get(wire.GROUP_INVITES, profile.group_invites)
    return Profile(
        profile.user_id,
        fields.get(wire.NICK, profile.nickname),
        fields.get(wire.FACE, profile.face_url),
        AllowType(allow) if allow in list(AllowType) else AllowType.CONFIRM,
        {name: value for name, value in details.items() if value},
        {name: value for name, value in custom.items() if value},
        version,
        AllowType.CONFIRM if invites == AllowType.CONFIRM else AllowType.ANY,
    )


@dataclass(frozen=True, slots=True)
class UserStatus(Displayed):
    """Status of a user: whether a device of the user is online, and the user's text while one is."""

    user_id: str
    online: bool
    text: str = ""


@checked(InvalidArgument)
class Statuses(Displayed):
    """Statuses of users: `client.statuses`. Any user may ask for the status of any other.

    A change of the status of a subscribed user is delivered as a StatusChanged event, while this client is online. The
    subscriptions belong to the account: they stay after a logout, and all of its devices get the events.

    Raises:
        InvalidArgument: The named id cannot be a user id, or there are too many users (30001).
        NetworkError: The server did not answer; call again.
        NotLoggedIn: The client is not logged in.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def set(self, text: Text) -> None:
        """Set the text of this account's status, which others see while it is online; it stays until it is set again.

        Raises:
            InvalidArgument: The text is longer than 256 bytes in UTF-8 (30001).
        """
        await self._connection.call(status_wire.SET_STATUS, status_wire.SetStatusRequest(text=text))

    async def get(self, user_ids: Items[UserId]) -> dict[str, UserStatus]:
        """Fetch the statuses of up to 500 users.

        Raises:
            UnknownUser: One of the users does not exist (20003).
            InvalidArgument: There are no users, or more than 500 (30001).
        """
        reply = await self._connection.call(status_wire.GET_STATUSES, status_wire.StatusUsersRequest(users=[*user_ids]))
        _raise_first(reply.failed)
        return {item.user: status_of(item) for item in reply.items}

    async def subscribe(self, user_ids: Items[UserId]) -> None:
        """Get a StatusChanged event of each change of up to 100 users. An account has at most 200 subscriptions.

        The other users of the list are subscribed to if one does not exist.

        Raises:
            UnknownUser: One of the users does not exist (20003).
            LimitReached: The account would have more than 200 subscriptions (10014).
            InvalidArgument: There are no users, or more than 100 (30001).
        """
        reply = await self._connection.call(status_wire.SUBSCRIBE_STATUSES, status_wire.StatusUsersRequest(users=[*user_ids]))
        _raise_first(reply.failed)

    async def unsubscribe(self, user_ids: Items[UserId] | None = None) -> None:
        """Get no more events of up to 100 users, or by default of all users.

        Raises:
            InvalidArgument: The list is empty, or has more than 100 users (30001).
        """
        body = status_wire.UnsubscribeStatusRequest(users=[*(user_ids or ())], all=int(user_ids is None))
        await self._connection.call(status_wire.UNSUBSCRIBE_STATUSES, body)


def status_of(item: status_wire.StatusItem) -> UserStatus:
    """Return the status that the server sent."""
    return UserStatus(item.user, item.presence == status_wire.Presence.ONLINE, status_wire.decode_text(item.encoded))


def _raise_first(failed: list[status_wire.FailedStatusItem]) -> None:
    for one in failed:
        raise error_for(one.code, one.info)
