"""Results of reading: pages of history, coverage, results of searches, and data frames of messages."""
