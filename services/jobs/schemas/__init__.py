"""Bodies of jobs: what callers send, and what they get."""
