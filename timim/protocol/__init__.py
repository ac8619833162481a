"""Tencent Chat's wire as pure code, shared by client and server: no I/O, no clock, no randomness of its own."""
