"""Other API servers over the same store, which may serve what this one does not."""
