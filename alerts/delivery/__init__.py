"""Delivery of webhooks from the outbox: claim → sign → send → judge → settle, one step per file."""
