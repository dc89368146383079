/* The joint plan: every unit's possible operations, the one it holds, and who is where when. */
#ifndef RS_PLANNER_JOINT_H
#define RS_PLANNER_JOINT_H

#include <stdint.h>

#include "grid.h"
#include "operations.h"

enum { RS_OCCUPANCY_STRIDE = 8 }; /* >= RS_DEPTH_MAX + 1, one cache line for two cells */

typedef struct {
    int32_t cost;                /* travel cost of the operation and from its end to the goal */
    int16_t op;
    int16_t reserved;
    int32_t path[RS_DEPTH_MAX];  /* cells after each action */
} rs_candidate;

typedef struct {
    const rs_grid *grid;
    const rs_operations *ops;
    int32_t units;
    int allow_rotation;
    int32_t *occupant;        /* [cells*RS_OCCUPANCY_STRIDE] unit in the cell after d actions, or -1 */
    int32_t *cell;            /* [units] where the unit is now */
    rs_candidate *candidate;  /* [units*ops->count] best first */
    int32_t *candidates;      /* [units] how many */
    int32_t *held;            /* [units] candidate the unit holds, or -1 */
    double *weight;           /* [units] of its cost in the sum to improve */
} rs_joint;

int rs_joint_init(rs_joint *joint, const rs_grid *grid, const rs_operations *ops, int32_t units,
                  int allow_rotation);
void rs_joint_free(rs_joint *joint);

static inline const rs_candidate *rs_joint_candidate(const rs_joint *joint, int32_t unit, int32_t k)
{
    return &joint->candidate[(int64_t)unit * joint->ops->count + k];
}

enum { RS_CLASH_NONE = -1, RS_CLASH_MANY = -2 };

/* Who is in the way of the unit's k-th candidate: nobody, one unit (returned), or many. A ring
 * that would close counts as many when rings are forbidden. The unit itself must hold nothing.
 * *depth: the first actions that are enough for the clash. */
int32_t rs_joint_clash(const rs_joint *joint, int32_t unit, int32_t k, int *depth);
void rs_joint_take(rs_joint *joint, int32_t unit, int32_t k);
void rs_joint_drop(rs_joint *joint, int32_t unit);

/* Would the unit, entering `first`, close a ring of units that all move in this step? `pushed` is
 * taken as having no operation. */
int rs_joint_ring(const rs_joint *joint, int32_t unit, int32_t first, int32_t pushed);

/* Check of the first actions that trusts nothing of the search; 1 when they are safe together.
 * claimed: [cells], all -1, and left so. */
int rs_joint_safe(const rs_joint *joint, const uint8_t *heading, const uint8_t *action,
                  int32_t *claimed);

#endif
