"""Where callers come in: websocket, REST, media, operations. A door decodes, authenticates, calls, encodes."""
