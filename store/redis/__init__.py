"""The rolling windows in Redis: minute buckets, guards and marks, a function of the history."""
