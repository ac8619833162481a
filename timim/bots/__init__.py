"""Bots: filters, commands, and a router of messages. They know messages, and no client."""
