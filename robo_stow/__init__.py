"""Robo-Stow: the decisions of a robotic warehouse, free of ROS and of the wall clock."""

__version__ = "0.1.0"
