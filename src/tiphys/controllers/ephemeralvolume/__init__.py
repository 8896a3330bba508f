"""The ephemeral volume controller."""
