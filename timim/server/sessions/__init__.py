"""Logged-in devices: their sessions, device slots, and the fan-out of pushes."""
