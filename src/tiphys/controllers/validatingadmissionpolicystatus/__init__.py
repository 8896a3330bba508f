"""Type-checks validating admission policies and reports what it finds in their status."""
