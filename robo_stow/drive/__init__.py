"""Drive units: motion profile, load, battery, and following released actions."""
