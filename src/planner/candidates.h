/* What a unit can do in this step: its legal operations, nearest to the goal first. */
#ifndef RS_PLANNER_CANDIDATES_H
#define RS_PLANNER_CANDIDATES_H

#include <stdint.h>

#include "grid.h"
#include "operations.h"
#include "tables.h"

typedef struct {
    int32_t cell;
    int32_t heading;
    int32_t goal;            /* dense id, or -1 */
    int loaded;
    int frozen;              /* may only wait */
    rs_table table;          /* distances to the goal; unused without a goal */
    int32_t next_goal;       /* dense id of the goal after that, or -1 */
    rs_table next_table;
    const uint8_t *standing; /* [cells] pods that a loaded unit cannot pass */
    const uint8_t *blocked;  /* [cells] */
} rs_situation;

/* Fills op[] and cost[] (above the least) sorted by cost and returns how many; the operation that waits is always there. */
int32_t rs_candidates(const rs_grid *grid, const rs_operations *ops, const rs_situation *unit,
                      int16_t *op, uint16_t *cost);

#endif
