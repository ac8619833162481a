"""Servers, proxies, databases and data that tests of several packages use."""
