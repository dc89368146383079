"""Traffic: the lifelong multi-agent planner, and the safe execution of its plans."""
