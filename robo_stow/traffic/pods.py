"""Where pods stand, as the traffic manager knows it."""

from __future__ import annotations

import numpy as np

from robo_stow.messages import I32, U8, Operation, PodRegister

_UNKNOWN = -2


class PodMap:
    """Places of the pods: from the inventory's register at the start, then from what units do.

    A predecessor of the traffic manager may have let a unit set its pod down without word of it
    reaching the register. That unit is still beneath; its next errand tells whether it was so
    (`clear_up`). The pod there is then *found*, and the register tells later which it is.

    Args:
        pods: number of pods.
        cells: number of cells.

    Public:
        at: I32[cells] the pod that stands on the cell, or -1.
        standing: U8[cells] whether one stands there, as planned: a LOWER counts when queued.
        changes: (pod, cell) not yet told, -1 for a pod that was lifted; emptied by who tells.
        lowering: unit -> pod, while a LOWER is queued.
    """

    def __init__(self, pods: int, cells: int) -> None:
        self.at: I32 = np.full(cells, -1, np.int32)
        self.standing: U8 = np.zeros(cells, np.uint8)
        self.changes: list[tuple[int, int]] = []
        self.lowering: dict[int, int] = {}
        self._place = np.full(pods, _UNKNOWN, np.int32)
        self._last_place = np.full(pods, -1, np.int32)  # where it stood last
        self._suspect: dict[int, int] = {}  # unit -> cell where it may have set a pod down
        self._found: set[int] = set()  # cells where one was set down, not known which
        self._begun = False

    # --- start ---------------------------------------------------------------------------------

    def learn(self, places: PodRegister) -> None:
        """Take over places before the start; once begun, of pods that are nowhere else."""
        fits = (places.pod >= 0) & (places.pod < len(self._place))
        fits &= (places.cell >= -1) & (places.cell < len(self.at))
        if self._begun:
            fits[fits] = self._place[places.pod[fits]] < 0
        self._place[places.pod[fits]] = places.cell[fits]

    def all_known(self, carried: I32) -> bool:
        """Whether every pod's place has been heard of, or is on a unit: ``carried`` I32[k]."""
        unknown = self._place == _UNKNOWN
        if not unknown.any():
            return True
        unknown[carried[(carried >= 0) & (carried < len(unknown))]] = False
        return not unknown.any()

    def begin(self, carried: I32, suspect: dict[int, int]) -> None:
        """Build the map of standing pods.

        Args:
            carried: I32[k] pods that units carry.
            suspect: unit -> cell of units that may have set a pod down there.
        """
        self._begun = True
        self.at[:] = -1
        self.standing[:] = 0
        self._last_place = self._place.copy()
        self._place = np.maximum(self._place, -1)
        self._place[carried[(carried >= 0) & (carried < len(self._place))]] = -1
        standing = np.flatnonzero(self._place >= 0)
        self.at[self._place[standing]] = standing
        self.standing[self._place[standing]] = 1
        self.changes = list(enumerate(self._place.tolist()))
        self._suspect = dict(suspect)
        self.standing[list(suspect.values())] = 1

    def settle(self, unit: int, cell: int, carries: bool) -> None:
        """A unit whose reports were not heeded while it may have done its LOWER is heard again."""
        pod = self.lowering.pop(unit)
        if not carries and 0 <= pod < len(self._place):
            self._set_down(pod, cell)

    def left(self, pod: int, cell: int) -> bool:
        """A fenced unit may have set ``pod`` down in ``cell`` (-1: none); whether it can be there.

        To take it to stand there keeps others from running into it.
        """
        fits = 0 <= pod < len(self._place) and cell >= 0 and not self.stands(cell)
        if fits:
            self._set_down(pod, cell)
        return fits

    def clear_up(self, unit: int, goal: int, operation: int) -> None:
        """The unit's first errand tells whether it had set its pod down before the start."""
        cell = self._suspect.pop(unit, -1)
        if cell >= 0 and cell == goal and operation == Operation.LOWER:
            self._found.add(cell)
        elif cell >= 0:
            self.standing[cell] = self.at[cell] >= 0

    def identify(self, register: PodRegister, carried: I32) -> None:
        """Learn which pods stand where one is known to stand but not which."""
        if not self._found:
            return
        for pod, cell in zip(register.pod.tolist(), register.cell.tolist(), strict=True):
            if not (0 <= pod < len(self._place) and cell in self._found):
                continue
            if self._place[pod] != cell and pod not in carried:
                self._set_down(pod, cell)

    # --- operation -----------------------------------------------------------------------------

    def stood_last(self, pod: int, cell: int) -> bool:
        """Whether the pod's last place was that cell."""
        return 0 <= pod < len(self._last_place) and bool(self._last_place[pod] == cell)

    def stands(self, cell: int) -> bool:
        """Whether a pod stands on the cell in fact, known which or not."""
        return bool(self.at[cell] >= 0) or cell in self._found

    def plan_lower(self, unit: int, pod: int, cell: int) -> None:
        """A LOWER is queued."""
        self.standing[cell] = 1
        self.lowering[unit] = pod

    def lifted(self, pod: int, cell: int) -> str:
        """A unit has lifted ``pod`` (-1: not known which) in ``cell``; what is odd about it."""
        expected = int(self.at[cell])
        odd = ""
        if not 0 <= pod < len(self._place):
            pod = expected
        elif pod != expected:
            odd = f"lifted pod {pod} in cell {cell}, not {expected}"
        self._found.discard(cell)
        if pod < 0:
            return f"lifted an unknown pod in cell {cell}"
        self._clear_place(pod)
        if expected != pod:
            self.at[cell] = -1
            self.standing[cell] = 0
        self.changes.append((pod, -1))
        return odd

    def lowered(self, unit: int, cell: int) -> str:
        """A unit has done the LOWER that was planned; what is odd about it."""
        pod = self.lowering.pop(unit)
        if 0 <= pod < len(self._place):
            self._set_down(pod, cell)
            return ""
        return f"set an unknown pod down in cell {cell}"

    def _set_down(self, pod: int, cell: int) -> None:
        self._clear_place(pod)
        self._found.discard(cell)
        self.at[cell] = pod
        self.standing[cell] = 1
        self._place[pod] = self._last_place[pod] = cell
        self.changes.append((pod, cell))

    def _clear_place(self, pod: int) -> None:
        """The pod is not, or no longer, where it was thought to stand."""
        old = int(self._place[pod])
        self._place[pod] = -1
        if old >= 0 and self.at[old] == pod:
            # An out-of-date register may have had two pods there.
            other = np.flatnonzero(self._place == old)
            self.at[old] = other[0] if len(other) else -1
            self.standing[old] = len(other) > 0 or old in self._found
