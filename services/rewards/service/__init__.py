"""The use cases of rewards: record facts, accrue, verify, refund, pay, reconcile, read."""
