"""Devices that claims ask for: what slices offer, and which of it a claim gets. Pure."""
