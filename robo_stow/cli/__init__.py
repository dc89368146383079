"""The ``robo-stow`` command."""
