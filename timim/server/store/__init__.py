"""The server's database: accounts, groups, timelines. One interface (`base`) and one contract suite for all engines."""
