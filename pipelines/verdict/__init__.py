"""Numbers to which last layer, and why."""
