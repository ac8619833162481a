"""Small parts that know nothing of timim: tasks, clocks, failpoints, resource limits."""
