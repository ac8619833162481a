"""Servers, proxies, databases and data for the tests of several packages."""
