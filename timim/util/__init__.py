"""General utilities, independent of the rest of timim: tasks, clocks, failpoints, resource limits."""
