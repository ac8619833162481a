"""SQLite files: one database a file, and the queue that gathers writes."""
