"""What people touch: the command, settings, wiring, HTTP API, embedded servers."""
