"""The resourceclaim controller."""
