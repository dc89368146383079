"""What gz-sim makes of requests for models and detachable joints, as far as pods need it."""

from __future__ import annotations

from dataclasses import dataclass, field

from robo_stow.floor.world import load_name


@dataclass
class GzWorld:
    """Models by name, and a DetachableJoint a unit as gz-sim 8 runs it: it begins with a request to
    attach, waits for its child, and looks it up anew each time."""

    units: list[str]
    models: dict[str, tuple[float, float, bool]] = field(default_factory=dict)
    """x, y (m) and whether static."""
    attached: dict[str, bool] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """What a real world would have been hurt by."""

    def __post_init__(self) -> None:
        self.attached = dict.fromkeys(self.units, False)
        self._wanted = dict.fromkeys(self.units, True)

    def create(self, name: str, x: float, y: float, static: bool) -> bool:
        """UserCommands: queued whatever it is; a model of that name stays as it is."""
        self.models.setdefault(name, (x, y, static))
        return True

    def remove(self, name: str) -> bool:
        """Likewise."""
        for unit in self.units:
            if name == load_name(unit) and self.attached[unit]:
                self.broken.append(f"{name} removed from its joint")
        self.models.pop(name, None)
        return True

    def attach(self, unit: str) -> None:
        """A message on the topic."""
        if not self.attached[unit]:
            self._wanted[unit] = True

    def detach(self, unit: str) -> list[str]:
        """A message on the topic; what the joint says."""
        if not self.attached[unit]:
            return []
        self.attached[unit] = False
        return ["detached"]

    def update(self) -> list[str]:
        """Units whose joints have just attached."""
        found = []
        for unit in self.units:
            if self._wanted[unit] and not self.attached[unit] and load_name(unit) in self.models:
                self._wanted[unit], self.attached[unit] = False, True
                found.append(unit)
        return found
