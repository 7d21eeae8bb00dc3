"""The vocabulary: what flows through Groundswell, and the ports the rooms meet through. Imports nothing of ours."""
