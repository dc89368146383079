/* One tick of traffic: the next action of every unit, chosen by the planner from where the units are
 * planned to be, goes into the execution graph. */
#ifndef RS_TRAFFIC_TICK_H
#define RS_TRAFFIC_TICK_H

#include <stdint.h>

#include "execution/execution.h"
#include "planner/planner.h"

enum { RS_ERRAND_GOING = 1 };                  /* a phase: on the way to the goal */
enum { RS_TICK_COMMIT = 16 };                  /* added to error codes of rs_execution_commit */
enum { RS_TICK_LIFT = 4, RS_TICK_LOWER = 5 }; /* codes of messages.Operation */
#define RS_TICK_EARLY 1e-9 /* s by which a tick may be early */

enum { RS_TICK_HALTS = 2 };            /* codes of messages.UnitStatus from here on: it stands */

/* Struct of arrays owned by the caller. */
typedef struct {
    rs_planner *planner;
    rs_execution *execution;
    int32_t units, cells;
    int32_t members;       /* units that the planner knows */
    int32_t limit;         /* actions planned and not done with which a unit gets no more */
    int32_t by_hand;       /* not 0: the caller looks after the units before each tick */
    int32_t code;          /* of the last tick: 0, or an error of planner or execution, */
    int32_t unit;          /*   and the unit at fault */
    int32_t arrivals;      /* units that have since been planned to reach their goals */
    int64_t iterations;    /* improvement attempts of the planner */
    double now;            /* s, of the last tick */
    double next, period;   /* s, of the next tick and between them */
    double move;           /* s that a planned step takes */
    double silence;        /* s by which a unit's report may be older than the newest */
    double under_way;      /* added to the priority of units that are going */
    const int32_t *member; /* [members] */
    const uint8_t *phase, *operation, *operating, *stands, *halted, *fenced; /* [units] */
    const uint8_t *load, *status;                                            /* [units] */
    const int32_t *goal;                                                     /* [units] or -1 */
    const float *priority;                                                   /* [units] */
    const double *deadline; /* [units] s, when the unit should be at its goal, or infinite */
    const uint8_t *standing, *blocked;                                       /* [cells] */
    int32_t *arrived;     /* [units] the arrivals */
    uint8_t *wanted;      /* [cells] scratch, all 0 */
    int32_t *cell, *aim;  /* [units] scratch */
    uint8_t *heading, *loaded, *frozen, *chosen, *action; /* [units] scratch */
    float *weight, *due;  /* [units] scratch */
} rs_tick;

/* 1: it is time for a tick; then `next` is moved on. */
int32_t rs_tick_begin(rs_tick *t, double now);

/* 1: a unit has come to a halt that has not been dealt with, or is under way again. */
int32_t rs_tick_halts(const rs_tick *t);

/* Plans and queues one joint step; on an error nothing is queued. */
void rs_tick_plan(rs_tick *t);

#endif
