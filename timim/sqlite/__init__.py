"""SQLite files through aiosqlite: one database a file, and the queue that gathers writes."""
