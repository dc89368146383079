/* The joint plan: every unit's possible operations, the one it holds, and who is where when. */
#ifndef RS_PLANNER_JOINT_H
#define RS_PLANNER_JOINT_H

#include <stdint.h>

#include "grid.h"
#include "operations.h"
#include "regions.h"

typedef struct {
    const rs_grid *grid;
    const rs_operations *ops;
    int32_t units;
    int allow_rotation;
    int32_t *occupant;    /* [places*RS_OCCUPANCY_STRIDE] unit in the place after d actions, or -1 */
    int32_t *place;       /* [units] grid index where the unit is now */
    uint8_t *heading;     /* [units] */
    int16_t *op;          /* [units*ops->count] operations of the candidates, best first */
    uint16_t *cost;       /* [units*ops->count] ... and their travel cost above the best one's */
    int32_t *candidates;  /* [units] how many */
    int32_t *held;        /* [units] candidate the unit holds, or -1 */
    double *weight;       /* [units] of its cost in the sum to improve */
    int32_t *rank;        /* [units] place in the order of priority, 0 first */
    const uint8_t *region; /* [units] or NULL: operations of units of other regions than `mine` stay
                            * as they are; those of units that are in none may be looked at */
    uint8_t mine;
} rs_joint;

int rs_joint_init(rs_joint *joint, const rs_grid *grid, const rs_operations *ops, int32_t units,
                  int allow_rotation);
void rs_joint_free(rs_joint *joint);

static inline int16_t rs_joint_op(const rs_joint *j, int32_t unit, int32_t k)
{
    return j->op[(int64_t)unit * j->ops->count + k];
}

static inline uint16_t rs_joint_cost(const rs_joint *j, int32_t unit, int32_t k)
{
    return j->cost[(int64_t)unit * j->ops->count + k];
}

/* Whether the unit is another region's, so that its operation may change at any time. */
static inline int rs_joint_elsewhere(const rs_joint *j, int32_t unit)
{
    return j->region && j->region[unit] != j->mine && j->region[unit] != RS_NO_REGION;
}

/* The occupants of the unit's own place; those along an operation lie `slot`s from here. */
static inline int32_t *rs_joint_here(const rs_joint *j, int32_t unit)
{
    return j->occupant + (int64_t)j->place[unit] * RS_OCCUPANCY_STRIDE;
}

static inline const int32_t *rs_joint_slots(const rs_joint *j, int32_t unit, int16_t op)
{
    return j->ops->slot[j->heading[unit]][op];
}

enum { RS_CLASH_NONE = -1, RS_CLASH_MANY = -2 };

/* Who is in the way of the unit's taking this operation: nobody, one unit (returned), or many. A
 * ring that would close counts as many when rings are forbidden. The unit itself must hold nothing.
 * *depth: the first actions that are enough for the clash. */
static inline int32_t rs_joint_clash(const rs_joint *j, int32_t unit, int16_t op, int *depth);
void rs_joint_take(rs_joint *joint, int32_t unit, int32_t k);
void rs_joint_drop(rs_joint *joint, int32_t unit);

/* Would the unit, driving forward, close a ring of units that all move in this step? `pushed` is
 * taken as having no operation. A chain that leads into another region counts as a ring: what goes
 * on there is not known, and of the units of a ring across a border one is the last to join. */
int rs_joint_ring(const rs_joint *joint, int32_t unit, int32_t pushed);

/* Check of the first actions that trusts nothing of the search; 1 when they are safe together.
 * claimed: [places], all -1, and left so. */
int rs_joint_safe(const rs_joint *joint, const uint8_t *action, int32_t *claimed);

static inline int32_t rs_joint_clash(const rs_joint *j, int32_t unit, int16_t op, int *depth)
{
    const int32_t *here = rs_joint_here(j, unit), *slot = rs_joint_slots(j, unit, op);
    const int32_t *from = here + 1; /* the place before, after the action */
    int32_t clash = RS_CLASH_NONE;
    unsigned drives = j->ops->drives[op];
    for (int d = 1; d <= j->ops->depth; d++, drives >>= 1) {
        const int32_t *to = here + slot[d - 1];
        int32_t other = to[0];
        if (other >= 0 && other != clash) {
            *depth = d;
            if (clash >= 0)
                return RS_CLASH_MANY;
            clash = other;
        }
        if (drives & 1) {
            other = to[-1];
            if (other >= 0 && other != clash && *from == other) {
                *depth = d;
                if (clash >= 0)
                    return RS_CLASH_MANY;
                clash = other;
            }
        }
        from = to + 1;
    }
    if (!j->allow_rotation && (j->ops->drives[op] & 1) && rs_joint_ring(j, unit, clash)) {
        *depth = 1;
        return RS_CLASH_MANY;
    }
    return clash;
}

#endif
