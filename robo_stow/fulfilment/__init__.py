"""Fulfilment: which pod goes to which station when, and which pallet into which pods."""
