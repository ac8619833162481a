"""The entrance: any object of timim as text and HTML, and its content fetched after it was shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import singledispatch
from typing import TypeVar, cast

from timim import Client, Conversation, ConversationList, Elem, Group, HistoryCoverage, Message, Page, SearchResult

from ..util.interactive import in_notebook
from .elems import Room, elem_html
from .markup import Html, document
from .messages import message_html, page_html, result_html
from .previews import MERGER_DEPTH, PREVIEWS, sources_in
from .values import (
    client_html,
    conversation_html,
    conversation_list_html,
    coverage_html,
    dataclass_html,
    group_html,
)

__all__ = ["display_and_fetch", "mimebundle"]

T = TypeVar("T")


@singledispatch
def _html(shown: object, room: Room) -> Html:
    return dataclass_html(shown, room) if is_dataclass(shown) else Html("")


def _register(kind: type[T], render: Callable[[T, Room], Html]) -> None:
    _html.register(kind, render)


_register(Client, client_html)
_register(Conversation, conversation_html)
_register(ConversationList, conversation_list_html)
_register(Elem, elem_html)
_register(Group, group_html)
_register(HistoryCoverage, coverage_html)
_register(Message, message_html)
_register(Page, page_html)
_register(SearchResult, result_html)


def mimebundle(shown: object) -> dict[str, str]:
    """Return an object as `text/plain` and, unless there is nothing more to show, as `text/html`."""
    plain = {"text/plain": repr(shown)}
    body = _html(shown, Room())
    return plain | {"text/html": document(body)} if body else plain


def display_and_fetch(shown: object) -> None:
    """Show an object in a notebook, fetch its pictures and sounds, and show it again with them.

    Raises:
        NotImplementedError: This is no notebook, no event loop runs, or there is nothing to fetch.
    """
    if not in_notebook() or not PREVIEWS.missing(sources_in(shown)):
        raise NotImplementedError
    try:
        asyncio.get_running_loop()
    except RuntimeError as exc:
        raise NotImplementedError from exc
    from IPython.display import DisplayHandle, display

    handle = cast("DisplayHandle", display(mimebundle(shown), raw=True, display_id=True))  # type: ignore[no-untyped-call]

    async def fetch() -> None:
        for _ in range(MERGER_DEPTH):
            if PREVIEWS.missing(sources := sources_in(shown)):
                await PREVIEWS.load(sources)
                handle.update(mimebundle(shown), raw=True)  # type: ignore[no-untyped-call]

    PREVIEWS.start(fetch())
