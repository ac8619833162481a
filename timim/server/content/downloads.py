"""Who may fetch content: its uploader, and who may read a message with it, as of now. Addresses are signed and expire.

A signature names the user it was made for and when it ends; it opens nothing that this user may not read at the time of
the request. What is not there and what is not for the asker are refused alike.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from urllib.parse import urlencode

from ...errors import AuthError, MediaGone, RateLimited, SignatureExpired
from ...protocol.media import UUID
from ..store.base import Blob, MediaStore
from .blob_store import BlobStore


class Downloads:
    """`now` is the server's clock in seconds, `url_s` how long a signed address is good."""

    def __init__(
        self,
        store: MediaStore,
        blobs: BlobStore,
        *,
        sign_key: bytes,
        media_url: str,
        url_s: int,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._sign_key = sign_key
        self.media_url = media_url
        self._now = now
        self._stopping = False
        self._marker = f'"{media_url}/'.encode()
        fields = rb'("(?:URL|Url|VideoUrl|ThumbUrl)"\s*:\s*")'
        self._addresses = re.compile(fields + re.escape(media_url).encode() + rb'/([0-9a-f]{32})(?:\?[^"\\]*)?(?=")')
        self.url_s = url_s

    def url(self, uuid: str) -> str:
        """Its lasting address, which opens with a session's token only."""
        return f"{self.media_url}/{uuid}"

    async def find(self, uuid: str, user: str) -> Blob:
        """Return the blob to a user who may read it now. Raises MediaGone."""
        blob = await self._store.readable(uuid, user) if UUID.match(uuid) else None
        if blob is None:
            raise MediaGone("there is no such content for this account")
        return blob

    async def read(self, blob: Blob, first: int, end: int) -> AsyncIterator[bytes]:
        """Its bytes from `first` up to `end`. Raises RateLimited when the server stops: the rest is to be asked for later."""
        async with aclosing(self._blobs.read(blob.object, blob.parts, first, end)) as chunks:
            async for chunk in chunks:
                if self._stopping:
                    raise RateLimited("the server is stopping", retry_after=1.0)
                yield chunk

    def drain(self) -> None:
        """End what is being sent."""
        self._stopping = True

    def upload_url(self, uuid: str, user: str, kind: str, lasts_s: int) -> str:
        """Where a web client of this user may put content that will have this uuid."""
        expires = int(self._now()) + lasts_s
        sign = self._sign(uuid, user, expires, kind)
        query = urlencode({"user": user, "kind": kind, "expires": expires, "sign": sign})
        return f"{self.media_url}/web/{uuid}?{query}"

    def sign_urls(self, frame: bytes, user: str) -> bytes:
        """Sign the addresses of a frame's elems for this user: a client that has no token can open them."""
        if self._marker not in frame:
            return frame
        return self._addresses.sub(lambda found: found[1] + self.signed_url(found[2].decode(), user).encode(), frame)

    def signed_url(self, uuid: str, user: str) -> str:
        """Return an address for this user's browser, or for anybody the user gives it to."""
        expires = int(self._now()) + self.url_s
        query = urlencode({"user": user, "expires": expires, "sign": self._sign(uuid, user, expires)})
        return f"{self.url(uuid)}?{query}"

    def user_of(self, uuid: str, user: str, expires: str, sign: str, kind: str = "") -> str:
        """For whom an address was signed; with a `kind`, to put content there. Raises AuthError, SignatureExpired."""
        ends = int(expires) if expires.isascii() and expires.isdecimal() and len(expires) < 16 else 0
        if not hmac.compare_digest(self._sign(uuid, user, ends, kind).encode(), sign.encode()):
            raise AuthError("the address's signature is not good: ask for another", code=70003)
        if self._now() > ends:
            raise SignatureExpired("the address has expired: ask for another")
        return user

    def _sign(self, uuid: str, user: str, expires: int, kind: str = "") -> str:
        signed = f"media\0{uuid}\0{user}\0{expires}\0{kind}".encode(errors="surrogatepass")
        return hmac.digest(self._sign_key, signed, hashlib.sha256).hex()
