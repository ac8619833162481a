"""Storing messages and message actions, and reading history."""
