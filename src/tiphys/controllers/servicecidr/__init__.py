"""The controller of service ranges."""
