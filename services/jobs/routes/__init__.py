"""The HTTP API of jobs: parse, one use case, answer."""
