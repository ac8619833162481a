"""Count of the bytes that wait in this process for peers: of each connection, and their sum.

A connection counts what its socket has not accepted yet, and what its session has queued. A connection over its own limit is
cut at once. A sum over the limit is reduced by `shed`, which cuts the connections whose peers read least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class WaitingBytes:
    """Bytes that wait for all peers of this process.

    Args:
        connection_limit: Maximum of a connection that is logged in; 0 sets no limit.
        stranger_limit: Maximum of a connection that is not logged in; 0 sets no limit.
        total_limit: Maximum of all connections together; 0 sets no limit.
    """

    def __init__(self, *, connection_limit: int = 0, stranger_limit: int = 0, total_limit: int = 0) -> None:
        self.total = 0
        self._connection_limit = connection_limit or _UNLIMITED
        self._stranger_limit = stranger_limit or _UNLIMITED
        self._total_limit = total_limit or _UNLIMITED

    def open(self, cut: Callable[[str], None]) -> PeerBytes:
        """Return the count of a new connection, whose peer is a stranger.

        Args:
            cut: Cuts the connection at TCP level; its argument is the reason.
        """
        return PeerBytes(self, cut, self._stranger_limit, self._connection_limit)

    def shed(self, peers: Iterable[PeerBytes]) -> None:
        """Cut the connections with the most waiting bytes until the sum is within its limit.

        Args:
            peers: The connections whose sockets do not accept all bytes. Bytes of other connections wait for this process.
        """
        if self.total <= self._total_limit:
            return
        for peer in sorted(peers, key=lambda peer: peer.size, reverse=True):
            peer.cut(f"{self.total} bytes wait for all peers, and the limit is {self._total_limit}; this peer has the most")
            if self.total <= self._total_limit:
                return


class PeerBytes:
    """Bytes that wait for the peer of one connection.

    Attributes:
        size: Number of waiting bytes.
        closed: The connection is lost; bytes for it are not counted, and must not be kept.
    """

    __slots__ = ("_all", "_cut", "_limit", "_user_limit", "closed", "size")

    def __init__(self, all_peers: WaitingBytes, cut: Callable[[str], None], limit: int, user_limit: int) -> None:
        self.size = 0
        self.closed = False
        self._all = all_peers
        self._cut = cut
        self._limit = limit
        self._user_limit = user_limit

    def trust(self) -> None:
        """Apply the limit of connections that are logged in."""
        self._limit = self._user_limit

    def add(self, size: int) -> None:
        """Count more bytes, or fewer if `size` is negative. A connection over its limit is cut."""
        if self.closed:
            return
        self.size += size
        self._all.total += size
        if self.size > self._limit and size > 0:
            self.cut(f"{self.size} bytes wait for this peer, and the limit is {self._limit}")

    def cut(self, reason: str) -> None:
        """Cut the connection, and stop counting it."""
        if not self.closed:
            self.close()
            self._cut(reason)

    def close(self) -> None:
        """Stop counting: the connection is lost, and its bytes are discarded."""
        self._all.total -= self.size
        self.size = 0
        self.closed = True


_UNLIMITED = 1 << 62
