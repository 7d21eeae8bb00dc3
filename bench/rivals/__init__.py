"""What bench.classifier compares: each module runs in an environment of its own, in a process of its own."""
