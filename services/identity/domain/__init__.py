"""The rules of identity as pure functions: members, credentials and wallets."""
