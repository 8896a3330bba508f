"""Scheduler plugins: each a pure filter and/or score over whole columns of nodes."""
