"""Robo-Stow: an arm that lifts pallets from the dock to drive units one storey up."""
