"""Subscriptions with several gateway processes and a real broker."""
