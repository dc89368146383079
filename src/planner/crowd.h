/* How crowded the floor is around every unit: the share of the cells near it that have units. */
#ifndef RS_PLANNER_CROWD_H
#define RS_PLANNER_CROWD_H

#include <stdint.h>

#include "grid.h"
#include "memory.h"

typedef struct {
    const rs_grid *grid;
    int32_t *cells; /* [(height+1)*(width+1)] passable cells above and left of each corner */
    int32_t *units; /* ... and units */
    rs_memory memory;
} rs_crowd;

int rs_crowd_init(rs_crowd *crowd, const rs_grid *grid);
void rs_crowd_free(rs_crowd *crowd);

/* Counts the units of a step. occupant: [places*stride], the first of each place is its unit or -1. */
void rs_crowd_count(rs_crowd *crowd, const int32_t *occupant, int32_t stride);

/* Share of the passable cells in the square around the cell that have units. */
float rs_crowd_near(const rs_crowd *crowd, int32_t cell);

#endif
