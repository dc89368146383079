"""What will be ordered: demand by SKU, its backtest, and what follows from it."""
