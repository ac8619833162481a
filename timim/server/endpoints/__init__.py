"""Endpoints of the server: websocket, media, health. An endpoint decodes, authenticates, calls a handler and encodes."""
