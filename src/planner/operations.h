/* Operations: the sequences of a few actions from which every unit chooses one a step. */
#ifndef RS_PLANNER_OPERATIONS_H
#define RS_PLANNER_OPERATIONS_H

#include <stdint.h>

#include "grid.h"

enum { RS_FORWARD = 0, RS_TURN_CW = 1, RS_TURN_CCW = 2, RS_WAIT = 3, RS_ACTIONS = 4 };
enum { RS_DEPTH_MAX = 5, RS_OPS_MAX = 256, RS_OP_NODES_MAX = 512 };
enum { RS_OCCUPANCY_STRIDE = 8 }; /* >= RS_DEPTH_MAX + 1, one cache line for two places */

/* The operations form a tree of common beginnings, stored depth first. */
typedef struct {
    uint8_t action;
    uint8_t depth; /* actions up to and with this one */
    int16_t op;    /* operation that ends here, or -1 */
    int16_t skip;  /* next node when this action is not possible */
} rs_op_node;

typedef struct {
    int depth, nodes, count;
    rs_op_node node[RS_OP_NODES_MAX];
    uint8_t first[RS_OPS_MAX];   /* first action */
    uint8_t drives[RS_OPS_MAX];  /* bit d: action d is forward */
    /* Where in the occupancy, counted from the start's place, the place after d+1 actions is. */
    int32_t slot[RS_HEADINGS][RS_OPS_MAX][RS_OCCUPANCY_STRIDE];
    int16_t tail[RS_OPS_MAX];    /* the operation that is left after the first action, then waits */
    int16_t wait;                /* wait all the time */
    int16_t once[RS_ACTIONS];    /* this action, then wait */
    int16_t alike_first[RS_OPS_MAX][RS_DEPTH_MAX]; /* the operations that begin with the same d+1 */
    int16_t alike_last[RS_OPS_MAX][RS_DEPTH_MAX];  /* actions are these, first to last */
} rs_operations;

/* Only one of the sequences with the same cells and final heading is kept: between two moves the
 * turns come first, then the waits, and half a turn is two turns clockwise. */
void rs_operations_init(rs_operations *ops, int depth, int32_t width);

#endif
