"""Servers that violate one guarantee each. A reliability test that passes with such a server proves nothing."""
