/* Joint plan over a long window, for floors with room: every unit's path over the next steps, all of
 * them together free of conflicts at all times. A unit takes a better path, the units in its way
 * plan anew, and so on, until nobody is in the way.
 *
 * Sources: windows: Silver, "Cooperative pathfinding", 2005, and Li et al., "Lifelong multi-agent
 * path finding in large-scale warehouses" (RHCR), 2021. Replanning a few units at a time: Li, Chen,
 * Harabor, Stuckey, Koenig, "MAPF-LNS2", 2022; within a window, starting from the last plan: Jiang,
 * Zhang, Veerapaneni, Li, "Scaling lifelong MAPF to more realistic settings" (WPPL), 2024. */
#ifndef RS_PLANNER_WINDOW_H
#define RS_PLANNER_WINDOW_H

#include <stdint.h>

#include "candidates.h"
#include "grid.h"
#include "memory.h"

/* Steps of the window; limits of one search and of one change. */
enum {
    RS_WINDOW = 20,
    RS_WINDOW_STATES = RS_WINDOW + 1,
    RS_WINDOW_NODES = 4096,
    RS_WINDOW_HASH = 4096,
    RS_WINDOW_BUCKETS = 256,
    RS_WINDOW_UNITS = 12
};

typedef struct {
    int32_t state;  /* cell*4+heading */
    int32_t parent; /* node, or -1 */
    int32_t next;   /* node in the same bucket, or -1 */
    int32_t cost;   /* so far, without penalties */
    int32_t penalty;
    uint8_t step, arrived;
} rs_window_node;

typedef struct {
    rs_situation at;
    int32_t after;    /* least cost from the goal to the next one, 0 when it is not known */
    int32_t least;    /* of a path alone on the floor: a lower bound */
    int32_t cost;     /* of the path it has, and from its end to the goal */
    int32_t bound_to; /* steps for which it can only wait */
    int fixed;        /* 1: its path must stay as it is */
    double weight;
} rs_window_unit;

typedef struct {
    const rs_grid *grid;
    int32_t units;
    int32_t *occupant;     /* [cells*RS_WINDOW_STATES] unit in the cell after so many steps, or -1 */
    int32_t *path;         /* [units*RS_WINDOW_STATES] cell*4+heading after each step; [0] is now */
    rs_window_unit *unit;  /* [units] */
    int32_t *late;         /* [units] those whose paths cost more than the least ... */
    int32_t *late_place;   /* [units] ... and where in the list each is, or -1 */
    int32_t lates;
    uint32_t *changed;     /* [units] number of the last change that the unit was part of */
    uint32_t change;
    rs_window_node *node;  /* [RS_WINDOW_NODES] */
    int32_t bucket[RS_WINDOW_BUCKETS];
    uint64_t *seen;        /* [RS_WINDOW_HASH] */
    uint32_t search;
    int32_t *stack;        /* [units] */
    int64_t work;          /* nodes made so far, a measure of time */
    int32_t list[RS_WINDOW_UNITS];
    int32_t old_cost[RS_WINDOW_UNITS];
    int32_t old_path[RS_WINDOW_UNITS][RS_WINDOW_STATES];
    rs_memory memory;
} rs_window;

int rs_window_init(rs_window *window, const rs_grid *grid, int32_t units);
void rs_window_free(rs_window *window);

static inline int32_t *rs_window_path(const rs_window *w, int32_t unit)
{
    return w->path + (int64_t)unit * RS_WINDOW_STATES;
}

/* Starts a step: the owner has written the units' situations, weights, and what is fixed. Units of
 * `keep` go on with their paths, as far as the others' allow; the others wait. */
void rs_window_begin(rs_window *window, const uint8_t *keep);

/* Looks for a change that starts with this unit taking another path and adds at most `slack` to
 * the weighted sum of costs. penalty: what being in another's way is taken to cost, or -1: nobody
 * is pushed. Returns 1, or 0 with the plan as it was. */
int rs_window_improve(rs_window *window, int32_t unit, int32_t penalty, double slack);

uint8_t rs_window_action(const rs_window *window, int32_t unit);

/* Ends the step: what is left of the paths, and a wait, is what the next one begins with. */
void rs_window_shift(rs_window *window);

#endif
