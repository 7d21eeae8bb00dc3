"""Delivery of webhooks from the outbox: claim → route → sign → send → settle, one step per file."""
