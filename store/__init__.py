"""What is kept: Postgres history, Redis windows. The only room that knows SQL and Redis."""
