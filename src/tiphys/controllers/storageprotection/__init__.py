"""The storageprotection controllers."""
