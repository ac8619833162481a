"""Benchmarks of timim. `make bench` runs the main one."""
