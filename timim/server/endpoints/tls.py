"""TLS of the server: a certificate and its key from files, which can be read again while the server runs."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from ...errors import InvalidArgument

HANDSHAKE_S = 8.0  # for a handshake, which is before the first request


class ServerTls:
    """TLS context of a listening server.

    Args:
        cert: PEM file with the certificate and its chain.
        key: PEM file with the private key; None if `cert` has it too.

    Raises:
        InvalidArgument: A file cannot be read, is no PEM file, or the two do not belong together.
    """

    def __init__(self, cert: Path, key: Path | None) -> None:
        self._cert = cert
        self._key = key
        self.context = self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))

    async def reload(self) -> None:
        """Read the files again, for the connections that follow.

        They are checked in a thread. The context in use gets them on the event loop, where no handshake runs meanwhile: a
        handshake between the certificate and its key would fail. That reads two small files once more, in about 1 ms.

        Raises:
            InvalidArgument: The files are not valid; the certificate stays as it was.
        """
        await asyncio.to_thread(self._load, ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
        self._load(self.context)

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        try:
            context.load_cert_chain(self._cert, self._key)
        except FileNotFoundError as exc:
            missing = self._cert if not self._cert.exists() else self._key
            raise InvalidArgument(f"the TLS file {missing} does not exist; set tls_cert and tls_key to PEM files") from exc
        except ssl.SSLError as exc:
            files = f"{self._cert} and {self._key}" if self._key else str(self._cert)
            reason = exc.reason or "they are no PEM files"
            raise InvalidArgument(f"the TLS certificate and key in {files} cannot be used: {reason}") from exc
        except OSError as exc:
            raise InvalidArgument(f"the TLS files {self._cert} and {self._key} cannot be read: {exc.strerror}") from exc
        return context
