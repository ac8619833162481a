"""Tables and statements of the client's local store. `timim/storage.py` is the interface to them."""
