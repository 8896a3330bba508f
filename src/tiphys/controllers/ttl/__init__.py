"""The ttl controller."""
