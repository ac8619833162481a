"""What the server can be asked. One table; a function serves a command at both doors."""
