"""Notifications between the nodes of a cluster. A published event is a hint: lost events are detected by their seqs."""
