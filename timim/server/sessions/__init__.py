"""Devices that are logged in: their sessions, device slots, and the fan-out of pushes."""
