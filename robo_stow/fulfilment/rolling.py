"""Pod choice by optimisation: the cheapest set of pods that covers all open lines of a station.

Where the rule (`robo_stow.fulfilment.podchoice`) takes the pod that is best by itself, this solves
the weighted set cover of the station's open lines as a mixed-integer programme (HiGHS through
SciPy) and sends the best pod of the solution; it is solved anew for every pod, with what is known
then (rolling horizon). The rule decides where the solver finds nothing in its limit.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp  # type: ignore[import-untyped]

from robo_stow.fulfilment.podchoice import Candidates, best_candidate

NODES = 200
"""Branch-and-bound nodes of a solution: a count, not a time, so that equal runs stay equal."""


def best_of_cover(found: Candidates) -> int:
    """Index of the candidate to send: the best by the rule among those of the cheapest cover."""
    share = found.share  # [lines, candidates]
    coverable = share.max(axis=1, initial=0.0) > 0.0
    share = share[coverable]
    if len(share) < 2:
        return best_candidate(found)
    # Backlog lines that a pod would serve as well make it cheaper, never free.
    cost = found.seconds / (1.0 + found.extra)
    result = milp(
        cost / cost.max(),
        constraints=LinearConstraint(share, np.minimum(1.0, share.sum(axis=1)), np.inf),
        integrality=np.ones(len(cost)),
        bounds=Bounds(0.0, 1.0),
        options={"node_limit": NODES},
    )
    if result.x is None:
        return best_candidate(found)
    chosen = np.flatnonzero(result.x > 0.5)
    return int(chosen[np.argmax(found.score[chosen])]) if len(chosen) else best_candidate(found)
