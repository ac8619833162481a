"""Requests for the extensions of one message."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import LimitReached
from ..ids import ConversationKey, ConversationType
from ..message import MessageExtension
from ..protocol import message_extensions as wire
from ..transport.connection import Connection


class ExtensionRequests:
    """The extensions of one message at the server; implements `timim.message.ExtensionVerbs`."""

    def __init__(self, connection: Connection, key: ConversationKey, seq: int) -> None:
        self._connection = connection
        self._key = key
        self._seq = seq

    async def get(self) -> dict[str, MessageExtension]:
        """Fetch all extensions. Raises the errors that `MessageExtensions` documents."""
        if self._key.type is ConversationType.GROUP:
            body = wire.GetGroupExtensionsRequest(group_id=self._key.peer, seq=self._seq)
            reply = await self._connection.call(wire.GET_GROUP_EXTENSIONS, body)
        else:
            of_two = wire.GetC2CExtensionsRequest(to_account=self._key.peer, msg_key="", timeline_seq=self._seq)
            reply = await self._connection.call(wire.GET_C2C_EXTENSIONS, of_two)
        return {item.key: MessageExtension(item.value, item.version) for item in reply.items if item.value}

    async def change(self, values: Mapping[str, str], versions: Mapping[str, int]) -> frozenset[str]:
        """Set values, or delete empty ones. Raises the errors that `MessageExtensions` documents."""
        items = [
            wire.ExtensionItem(key=key, value=value, version=versions.get(key, wire.ANY_VERSION))
            for key, value in values.items()
        ]
        kind = wire.ExtensionChange.SET if any(values.values()) else wire.ExtensionChange.DELETE
        results = (await self._change(kind, items)).results
        for result in results:
            if result.code == wire.TOO_MANY:
                raise LimitReached(f"{result.extension.key!r} was not set: {result.info}", code=wire.TOO_MANY)
        return frozenset(result.extension.key for result in results if result.code == wire.CONFLICT)

    async def clear(self) -> None:
        """Delete all extensions. Raises the errors that `MessageExtensions` documents."""
        await self._change(wire.ExtensionChange.CLEAR, [])

    async def _change(self, kind: wire.ExtensionChange, items: list[wire.ExtensionItem]) -> wire.ChangeExtensionsReply:
        if self._key.type is ConversationType.GROUP:
            body = wire.ChangeGroupExtensionsRequest(group_id=self._key.peer, seq=self._seq, kind=kind, items=items)
            return await self._connection.call(wire.CHANGE_GROUP_EXTENSIONS, body)
        of_two = wire.ChangeC2CExtensionsRequest(
            to_account=self._key.peer, msg_key="", timeline_seq=self._seq, kind=kind, items=items
        )
        return await self._connection.call(wire.CHANGE_C2C_EXTENSIONS, of_two)
