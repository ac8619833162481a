"""Handlers of requests. Each module registers its handlers in its `HANDLERS`; `ALL_HANDLERS` has all of them."""

from . import (
    administration,
    c2c,
    conversation_settings,
    conversations,
    follows,
    friends,
    group_members,
    group_state,
    groups,
    message_actions,
    profiles,
    reactions,
    read_receipts,
    rest_accounts,
    rest_friends,
    rest_groups,
    rest_messages,
    rest_reading,
    system,
    web_client,
)
from .registry import HandlerRegistry

__all__ = ["ALL_HANDLERS"]

ALL_HANDLERS = HandlerRegistry.sum_of(
    administration.HANDLERS,
    c2c.HANDLERS,
    conversation_settings.HANDLERS,
    conversations.HANDLERS,
    follows.HANDLERS,
    friends.HANDLERS,
    group_members.HANDLERS,
    group_state.HANDLERS,
    groups.HANDLERS,
    message_actions.HANDLERS,
    profiles.HANDLERS,
    reactions.HANDLERS,
    read_receipts.HANDLERS,
    rest_accounts.HANDLERS,
    rest_friends.HANDLERS,
    rest_groups.HANDLERS,
    rest_messages.HANDLERS,
    rest_reading.HANDLERS,
    system.HANDLERS,
    web_client.HANDLERS,
)
