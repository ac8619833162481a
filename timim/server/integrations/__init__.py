"""Integration with the operator's back end: webhooks and offline push, delivered in order and retried."""
