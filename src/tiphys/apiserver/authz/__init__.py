"""What they may do: RBAC, the node authorizer, and the reviews that ask."""
