"""The tainteviction controller."""
