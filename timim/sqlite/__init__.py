"""SQLite files through aiosqlite: one database for each file, and the queue that batches writes."""
