"""The client's logic: sending (outbox), receiving (inbox), history queries (history), delivery to handlers (dispatcher)."""
