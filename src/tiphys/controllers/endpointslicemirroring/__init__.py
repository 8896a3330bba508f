"""The endpointslicemirroring controller."""
