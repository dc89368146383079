"""A real Gazebo 11 as the plant: server, transport, and drive units with physics."""
