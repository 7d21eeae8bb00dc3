"""The HTTP API: health, metrics, documents in, and what the history and the windows say."""
