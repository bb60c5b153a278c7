"""The use cases of jobs, one function each. Locks are always taken in the order job, bid, offer, engagement,
invoice, transaction, so that no two of them can wait for each other."""
