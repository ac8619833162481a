"""The wire protocol of Tencent Chat as pure code that client and server share: no I/O, no clock, no randomness."""
