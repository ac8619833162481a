"""A load test for any timim server: real clients in their own processes, and an account of every message.

`coordinator.py` runs a scenario, `worker.py` is one process of clients, `scenario.py` has the parameters and the commands
between the two, `accounting.py` finds messages that were lost, repeated or out of order, `latency.py` keeps times in bounded
memory, and `report.py` is the result.
"""
