"""The use cases of identity: members, sessions, wallets, keys and what other services ask."""
