"""The storage version migrator."""
