"""Measurements of the hub next to other servers of the same feed."""
