/* Parts of the floor in which different threads may change the joint plan at the same time. */
#ifndef RS_PLANNER_REGIONS_H
#define RS_PLANNER_REGIONS_H

#include <stdint.h>

#include "grid.h"

/* Nobody may change the operation of a unit of no region. */
enum { RS_NO_REGION = 0xFF };

/* Divides the floor into strips across its rows (axis 0: of columns) or columns (axis 1: of rows)
 * with as many units each, and deals the strips to at most `most` regions. Where the floor is too
 * narrow for more than one, it is divided the other way. phase, 0 <= phase < 1, shifts the borders
 * by that share of a strip. Units within `reach` cells of a border are of no region: what the units
 * of a region can reach, or meet within `reach` moves, is then out of reach of those of the others.
 * region: [units]; count: [max(width, height)] scratch. Returns the number of regions. */
int32_t rs_regions(const rs_grid *grid, int32_t units, const int32_t *cell, int axis, float phase,
                   int32_t most, int32_t reach, uint8_t *region, int32_t *count);

#endif
