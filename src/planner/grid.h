/* The floor of one level: passable cells, numbered densely, and the edges between them. */
#ifndef RS_PLANNER_GRID_H
#define RS_PLANNER_GRID_H

#include <stdint.h>

#include "memory.h"

enum { RS_EAST = 0, RS_SOUTH = 1, RS_WEST = 2, RS_NORTH = 3, RS_HEADINGS = 4 };

/* Travel costs are whole numbers of a quarter step, so that congestion can be priced finely. */
enum { RS_STEP_COST = 4, RS_TURN_COST = 4, RS_EDGE_COST_MAX = 255 };

typedef struct {
    int32_t width, height;
    int32_t cells;       /* number of passable cells */
    int32_t *id_of;      /* [height*width] dense id, or -1 for a wall */
    int32_t *place_of;   /* [cells] index in the grid */
    int32_t *row, *col;  /* [cells] */
    int32_t *next;       /* [cells*4] cell reached by driving forward, or -1 */
    int32_t *prev;       /* [cells*4] cell from which driving in that heading leads here, or -1 */
    uint8_t *edge_cost;  /* [cells*4] cost of driving forward, >= RS_STEP_COST */
    uint8_t *storage;    /* [cells] 1: storage cell */
    rs_memory memory;
} rs_grid;

/* exits: bit d of a place is set when leaving it in heading d is allowed; 0 is a wall.
 * storage and cost (extra steps of entering a place) may be NULL. Returns 0, or -1 out of memory. */
int rs_grid_init(rs_grid *grid, int32_t width, int32_t height, const uint8_t *exits,
                 const uint8_t *storage, const float *cost);
void rs_grid_free(rs_grid *grid);

#endif
