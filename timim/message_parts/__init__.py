"""Parts of a message: its fields and their types, quotes, and its form in one line of text."""
