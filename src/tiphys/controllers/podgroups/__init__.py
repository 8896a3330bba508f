"""The controller that protects groups of pods."""
