"""The endpointslice controller."""
