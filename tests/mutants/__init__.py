"""Servers that break one promise each. A reliability test that passes with such a server proves nothing."""
