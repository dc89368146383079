"""The control room in a browser: a live picture of the floor and its key figures."""
