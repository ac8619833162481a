"""The client's network access: one websocket that is kept alive, and HTTP for media."""
