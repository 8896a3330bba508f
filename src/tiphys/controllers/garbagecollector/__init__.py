"""The garbagecollector controller."""
