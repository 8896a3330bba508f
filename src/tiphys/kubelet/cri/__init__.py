"""The container runtime interface: messages, and the client that speaks it."""
