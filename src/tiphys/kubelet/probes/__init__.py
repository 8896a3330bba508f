"""Liveness, readiness and startup probes, and the hooks that speak the same protocols."""
