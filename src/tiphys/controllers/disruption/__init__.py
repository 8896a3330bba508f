"""The disruption controller."""
