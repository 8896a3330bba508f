"""The resourcequota controller."""
