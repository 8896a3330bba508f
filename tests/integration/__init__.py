"""Against a cluster that the tests here share. A package: what they share ends with them."""
