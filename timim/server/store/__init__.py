"""What the server keeps: accounts, groups, timelines. One protocol (`base`), one contract suite, several databases."""
