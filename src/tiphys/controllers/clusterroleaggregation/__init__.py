"""The clusterroleaggregation controller."""
