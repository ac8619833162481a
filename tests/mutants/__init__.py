"""Servers that break one promise each. A reliability test that such a server does not fail proves nothing."""
