"""The replicaset controller."""
