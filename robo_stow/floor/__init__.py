"""The floor: the building's cells, stations and lifters, read from files and drawn."""
