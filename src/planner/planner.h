/* Lifelong multi-agent planner: one joint step of all units at a time.
 *
 * Every unit holds one operation (a few actions). The joint plan of operations is free of conflicts
 * at all times: it starts from what was left of the last step's operations, units then take better
 * ones in order of priority, pushing others with priority inheritance, and what remains of the
 * budget improves the weighted sum of expected arrival times. The first actions are returned. */
#ifndef RS_PLANNER_PLANNER_H
#define RS_PLANNER_PLANNER_H

#include <stddef.h>
#include <stdint.h>

typedef struct rs_planner rs_planner;

typedef struct {
    int32_t width, height, units;
    const uint8_t *exits;   /* [height*width] bit d: the place may be left in heading d; 0: a wall */
    const uint8_t *storage; /* [height*width] or NULL */
    const float *cost;      /* [height*width] extra steps of entering, or NULL */
    int32_t depth;          /* actions of an operation, 2..RS_DEPTH_MAX */
    int32_t allow_rotation; /* 0: no closed ring of units may all advance in one step */
    uint64_t seed;
    uint64_t table_memory;  /* bytes for distance tables */
    int32_t threads;        /* that plan together, 1..RS_THREADS_MAX */
} rs_planner_config;

typedef struct {
    const int32_t *cell;      /* [units] grid index */
    const uint8_t *heading;   /* [units] */
    const int32_t *goal;      /* [units] grid index, or -1 */
    const int32_t *next_goal; /* [units] where it goes on to from its goal, or -1; or NULL */
    const float *later;       /* [units] steps from the goal to the end of the task, or NULL */
    const uint8_t *loaded;    /* [units] or NULL */
    const uint8_t *frozen;    /* [units] or NULL */
    const float *priority;    /* [units] or NULL */
    const float *due;         /* [units] steps from now until it should be at its goal, or NULL */
    const uint8_t *standing;  /* [height*width] or NULL */
    const uint8_t *blocked;   /* [height*width] or NULL */
    double budget;            /* CPU seconds of each thread for the step; 0: no improvement */
    int64_t iterations;       /* >= 0: exactly so many improvement attempts instead */
} rs_planner_input;

typedef struct {
    int64_t attempts;    /* improvement attempts of the last step */
    int64_t accepted;
    double cpu_seconds;  /* of the last step, of the caller's thread */
    int64_t tables;      /* distance tables made so far */
    int64_t rejected;    /* joint steps thrown away by the final check so far: always 0 */
    int64_t rescues;     /* units brought out of a deadlock so far */
} rs_planner_stats;

enum { RS_THREADS_MAX = 64 };

enum {
    RS_PLAN_OK = 0,
    RS_PLAN_BAD_CELL = 1,    /* a unit is outside the floor or on a wall */
    RS_PLAN_BAD_HEADING = 2,
    RS_PLAN_BAD_GOAL = 3,    /* a goal is outside the floor or a wall */
    RS_PLAN_SHARED_CELL = 4, /* two units in one cell */
};

/* NULL when out of memory or threads, or the depth or their number is out of range. */
rs_planner *rs_planner_new(const rs_planner_config *config);
void rs_planner_free(rs_planner *planner);

/* Writes one action a unit; on an error code writes nothing and *unit is the unit at fault. */
int rs_planner_step(rs_planner *planner, const rs_planner_input *input, uint8_t *action,
                    int32_t *unit);

/* Travel cost, in steps, of each unit-less query: from cell[i] with heading[i] to goal[i], alone on
 * the floor; -1 when there is no way. Uses the tables of the last step's blocked cells. Returns 0 or
 * an error code, with *query the query at fault. */
int rs_planner_travel(rs_planner *planner, int32_t queries, const int32_t *cell,
                      const uint8_t *heading, const int32_t *goal, float *steps, int32_t *query);
void rs_planner_get_stats(const rs_planner *planner, rs_planner_stats *stats);

#endif
