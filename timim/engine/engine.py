"""The engine of a client: its parts, and who of them hears of whom. Made anew each time the local store is opened."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..conversation import Engine
from ..events import HistoryReset
from ..message import Message
from ..storage import LocalStore
from ..transport.connection import Connection
from .attachments import Attachments
from .conversation_settings import Marking
from .conversations import Roster
from .dispatcher import Dispatcher
from .facts import Facts
from .fetcher import Fetcher
from .history import History
from .inbox import Inbox
from .ingest import Keeper
from .message_actions import Acting
from .outbox import Outbox
from .push_router import Pushes
from .search import Search
from .session import Login
from .sync import Sync


@dataclass(frozen=True, slots=True)
class Wired:
    """`engine` is what conversations work with; the others are the client's own."""

    engine: Engine
    inbox: Inbox
    pushes: Pushes
    acting: Acting


def wired(
    store: LocalStore,
    connection: Connection,
    dispatcher: Dispatcher,
    *,
    user_id: str,
    recent_contacts: bool,
    timeout_s: float,
    roster: Roster,
    marking: Marking,
    content: Attachments,
    login: Login,
    facts: Facts,
    bind: Callable[[Message], Message],
) -> Wired:
    """`bind` makes messages the client's. Nothing runs yet."""
    fetcher = Fetcher(connection, timeout_s=timeout_s)
    keeper = Keeper(store, stored=roster.stored, bind=bind)
    sync = Sync(
        store,
        fetcher,
        keeper,
        user_id=user_id,
        recent_contacts=recent_contacts,
        room=dispatcher.room,
        newest=roster.listed._newest_c2c,
        reset=lambda: dispatcher.event(HistoryReset(login.epoch)),
        receipt=marking.receipt,
    )
    inbox = Inbox(
        store,
        fetcher,
        keeper,
        sync,
        user_id=user_id,
        recent_contacts=recent_contacts,
        throw=dispatcher.messages,
        bind=bind,
        room=dispatcher.room,
    )
    acting = Acting(
        store,
        connection,
        user_id=user_id,
        content=content,
        numbered=inbox.numbered,
        changed=roster.changed,
        timeout_s=timeout_s,
        rng=random.Random(),
    )
    outbox = Outbox(
        store,
        connection,
        user_id=user_id,
        content=content,
        inbox=inbox,
        spoken=roster.spoken,
        timeout_s=timeout_s,
        rng=random.Random(),
    )
    history = History(store, fetcher, inbox, user_id=user_id, bind=bind)
    engine = Engine(store, connection, outbox, history, Search(history), dispatcher, marking, roster.marked)
    return Wired(engine, inbox, Pushes(inbox, user_id=user_id, facts=facts.told, kicked=login.kicked), acting)
