"""Downloads of media content, by token or by signed URLs that expire.

The uploader of content and the users who can read a message with it may download it. A signature names its user and its expiry,
and that user's permission is checked at the time of the request. Missing content and content without permission get the same
error, so that a client cannot find out which uuids exist.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from urllib.parse import urlencode

from ...errors import AuthError, MediaGone, RateLimited, SignatureExpired
from ...protocol.media import UUID
from ..store.base import Blob, MediaStore
from .blob_store import BlobStore


class Downloads:
    """Access to media content for downloads: finds blobs, reads their bytes, signs their URLs.

    Args:
        store: Store of blobs and permissions.
        blobs: Store of the bytes.
        sign_keys: Keys of the signatures that are accepted; the first one signs.
        media_url: URL under which clients find media content.
        url_s: Time for which a signed URL is valid, in seconds.
        now: The server's clock, in seconds since 1970.
    """

    def __init__(
        self,
        store: MediaStore,
        blobs: BlobStore,
        *,
        sign_keys: Sequence[bytes],
        media_url: str,
        url_s: int,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._sign_keys = sign_keys
        self.media_url = media_url
        self._now = now
        self._stopping = False
        self._marker = f'"{media_url}/'.encode()
        fields = rb'("(?:URL|Url|VideoUrl|ThumbUrl)"\s*:\s*")'
        self._addresses = re.compile(
            fields + re.escape(media_url).encode() + rb'/([0-9a-f]{32})(?:\?(format=[.a-z0-9-]{3,10}(?="))?[^"\\]*)?(?=")'
        )
        self.url_s = url_s

    def url(self, uuid: str) -> str:
        """Return the permanent URL of content, which needs the token of a session."""
        return f"{self.media_url}/{uuid}"

    async def find(self, uuid: str, user: str) -> Blob:
        """Return the blob with the given uuid.

        Raises:
            MediaGone: There is no such content, or the user may not read it.
        """
        blob = await self._store.readable(uuid, user) if UUID.match(uuid) else None
        if blob is None:
            raise MediaGone("the content does not exist, or this account may not read it")
        return blob

    async def read(self, blob: Blob, first: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob from `first` up to, but not including, `end`.

        Raises:
            RateLimited: The server stops; the client requests the rest later.
            MediaGone: The bytes are missing.
            StorageError: The store of the bytes failed.
        """
        async with aclosing(self._blobs.read(blob.object, blob.parts, first, end)) as chunks:
            async for chunk in chunks:
                if self._stopping:
                    raise RateLimited("the server is stopping; request the rest from another server", retry_after=1.0)
                yield chunk

    def drain(self) -> None:
        """End the downloads in progress."""
        self._stopping = True

    def upload_url(self, uuid: str, user: str, kind: str, lasts_s: int) -> str:
        """Return a signed URL to which a web client of this user can PUT content with this uuid.

        Args:
            uuid: The uuid of the future content.
            user: The user who uploads.
            kind: Kind of the content, which has its own size limit.
            lasts_s: Time for which the URL is valid, in seconds.
        """
        expires = int(self._now()) + lasts_s
        sign = self._sign(uuid, user, expires, kind)
        query = urlencode({"user": user, "kind": kind, "expires": expires, "sign": sign})
        return f"{self.media_url}/web/{uuid}?{query}"

    def sign_urls(self, frame: bytes, user: str) -> bytes:
        """Return a frame with the media URLs of its elems signed for a user whose client has no token."""
        if self._marker not in frame:
            return frame

        def signed(found: re.Match[bytes]) -> bytes:
            url = found[1] + self.signed_url(found[2].decode(), user).encode()
            return b"%b&%b" % (url, found[3]) if found[3] else url  # the web client reads the format of a sound from its URL

        return self._addresses.sub(signed, frame)

    def signed_url(self, uuid: str, user: str) -> str:
        """Return a URL that gives access to content without a token, as long as this user may read the content."""
        expires = int(self._now()) + self.url_s
        query = urlencode({"user": user, "expires": expires, "sign": self._sign(uuid, user, expires)})
        return f"{self.url(uuid)}?{query}"

    def user_of(self, uuid: str, user: str, expires: str, sign: str, kind: str = "") -> str:
        """Check the signature of a URL, and return its user.

        Args:
            uuid: The uuid in the URL.
            user: The user in the URL.
            expires: The expiry in the URL, in seconds since 1970.
            sign: The signature in the URL.
            kind: Kind of the content for an upload, empty for a download.

        Raises:
            AuthError: The signature is invalid (70003).
            SignatureExpired: The URL has expired.
        """
        ends = int(expires) if expires.isascii() and expires.isdecimal() and len(expires) < 16 else 0
        good = False
        for key in self._sign_keys:
            good |= hmac.compare_digest(_sign(key, uuid, user, ends, kind).encode(), sign.encode())
        if not good:
            raise AuthError("the signature of the URL is invalid; request a new URL", code=70003)
        if self._now() > ends:
            raise SignatureExpired("the URL has expired; request a new URL")
        return user

    def _sign(self, uuid: str, user: str, expires: int, kind: str = "") -> str:
        return _sign(self._sign_keys[0], uuid, user, expires, kind)


def _sign(key: bytes, uuid: str, user: str, expires: int, kind: str) -> str:
    signed = f"media\0{uuid}\0{user}\0{expires}\0{kind}".encode(errors="surrogatepass")
    return hmac.digest(key, signed, hashlib.sha256).hex()
