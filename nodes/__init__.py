"""ROS 2 nodes of Robo-Stow: thin shells around the library that decide nothing."""
