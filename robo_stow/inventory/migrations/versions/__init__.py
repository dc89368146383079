"""Revisions of the ledger's schema, oldest first; a revision that was released never changes."""
