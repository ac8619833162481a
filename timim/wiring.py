"""The engine of a client: its parts, and who of them hears of whom. Made anew each time the local store is opened."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from .conversation import Engine
from .engine.acting import Acting
from .engine.content import Content
from .engine.dispatcher import Dispatcher
from .engine.facts import Facts
from .engine.fetcher import Fetcher
from .engine.history import History
from .engine.inbox import Inbox
from .engine.keeper import Keeper
from .engine.marks import Marking
from .engine.outbox import Outbox
from .engine.pushes import Pushes
from .engine.search import Search
from .engine.sync import Sync
from .events import HistoryReset
from .login import Login
from .message import Message
from .net.connection import Connection
from .roster import Roster
from .storage import LocalStore


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
    content: Content,
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
