"""CustomResourceDefinitions: naming, rows of the resource table, versions of custom objects, clean-up."""
