"""What governance asks of the chain, and what it holds open for that."""
