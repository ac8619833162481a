"""The client's edges to the network: one websocket, keeping it alive, HTTP up and down."""
