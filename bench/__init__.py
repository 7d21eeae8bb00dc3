"""How fast: one script for each question, each prints one table."""
