"""The certificates controllers."""
