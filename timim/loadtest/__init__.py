"""A load generator for any timim server: real clients in processes of their own, and an account of every message.

`run.py` conducts, `worker.py` is one process of clients, `plan.py` is what they say to each other, `tally.py` finds what was
lost, repeated or out of order, `latency.py` keeps times in bounded memory, `report.py` is what comes out.
"""
