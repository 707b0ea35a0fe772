"""Servers of the same feed for the hub to be measured against."""
