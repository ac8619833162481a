"""Rules of groups and friends, and the changesets that carry them out."""
