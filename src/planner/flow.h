/* Guidance on crowded floors, so that opposite streams settle on different lanes: rows and columns
 * have directions in turn, and driving against the main flow of an edge, as learnt from the traffic
 * itself, costs extra. */
#ifndef RS_PLANNER_FLOW_H
#define RS_PLANNER_FLOW_H

#include <stdint.h>

#include "grid.h"
#include "memory.h"
#include "tables.h"

typedef struct {
    rs_grid *grid;
    uint8_t *base_cost; /* [cells*4] edge costs without what was learnt */
    float *flow;        /* [cells*4] moves a step out of each cell in each heading, fading average */
    uint16_t *moves;    /* [cells*4] moves since the last update */
    int32_t steps;      /* so far */
    int active;         /* 0: too few units for guidance */
    rs_memory memory;
} rs_flow;

/* guided: 0: no lanes and no prices, however many units. */
int rs_flow_init(rs_flow *flow, rs_grid *grid, int32_t units, int guided);
void rs_flow_free(rs_flow *flow);

/* Notes that a unit leaves the cell in this heading. */
void rs_flow_move(rs_flow *flow, int32_t cell, int heading);

/* Ends a step; now and then reprices the edges and tells the tables. */
void rs_flow_step(rs_flow *flow, rs_tables *tables);

#endif
