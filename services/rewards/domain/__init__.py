"""The rules of rewards as pure functions: amounts, states, the ledger, payouts and their proofs."""
