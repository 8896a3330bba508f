"""The ttlafterfinished controller."""
