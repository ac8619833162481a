"""The client's policy: what goes out (outbox), what comes in (inbox), what is asked for (history), who hears (dispatcher)."""
