"""The embedded plant: drive units, lifters, people, packers, arrivals, and what goes wrong."""
