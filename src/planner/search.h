/* Changes of the joint plan by priority inheritance: a unit takes a better operation, the one unit
 * in its way takes another, and so on along a chain, until nobody is in the way. */
#ifndef RS_PLANNER_SEARCH_H
#define RS_PLANNER_SEARCH_H

#include <stdint.h>

#include "joint.h"
#include "memory.h"

/* Limits of one attempt: length of the chain, pushes of the same unit, pushes in all. */
enum { RS_CHAIN_MAX = 64, RS_VISITS_MAX = 8, RS_PUSHES_MAX = 64 };

typedef struct {
    int32_t unit;
    int32_t next;   /* candidate to try next */
    int32_t old;    /* candidate held before */
    int32_t limit;  /* greatest cost that keeps the weighted sum within bounds */
    double before;  /* change of the weighted sum by the units below on the chain */
    uint64_t dead[RS_OPS_MAX / 64]; /* operations that begin with actions known to be impossible */
} rs_link;

typedef struct {
    rs_joint *joint;
    rs_link chain[RS_CHAIN_MAX];
    uint32_t *visited;   /* [units] number of the attempt that last pushed the unit ... */
    uint8_t *visits;     /* [units] ... and how often it did */
    uint8_t *chained;    /* [units] 1: on the chain */
    uint32_t attempt;
    int64_t work;        /* operations tested for clashes so far, a measure of time */
    rs_memory memory;
} rs_search;

int rs_search_init(rs_search *search, rs_joint *joint);
void rs_search_free(rs_search *search);

/* Gives the unit the best operation it can get by pushing units of lower rank only, whatever it
 * costs them. Returns 1 when the plan changed. */
int rs_search_yield(rs_search *search, int32_t unit);

/* Looks for a change that starts with this unit taking any other operation and adds at most `slack`
 * to the weighted sum. Returns 1, or 0 with the plan as it was. */
int rs_search_improve(rs_search *search, int32_t unit, double slack);

#endif
