"""The operator's back end: webhooks and offline push, delivered in order and tried again."""
