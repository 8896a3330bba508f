"""The replicationcontroller controller."""
