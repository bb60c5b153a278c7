"""The chain mechanism: thin RPC, typed calls, the signer and its lanes, the log indexer. Imports nothing itself."""
