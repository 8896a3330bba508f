"""What the API server keeps in the cluster for everyone: namespaces, roles, its own Service and Leases."""
