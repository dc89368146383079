"""The ledger: what stock there is, where it is, whose it is, and where more may go."""
