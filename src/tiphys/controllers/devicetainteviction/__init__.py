"""The device taint eviction controller."""
