/* Steps of the embedded loop in which the drive units move and no other room has anything to do.
 *
 * One step is what the cores do when they are stepped one by one: what traffic releases is taken
 * by the units, they move on, their states go to traffic, the checker and the tally, and traffic
 * plans when it is time. */
#ifndef RS_LOOP_SPAN_H
#define RS_LOOP_SPAN_H

#include <stdint.h>

#include "drive/motion.h"
#include "execution/execution.h"
#include "traffic/tick.h"
#include "watch/checker.h"
#include "watch/tally.h"

enum { /* why a span has ended before its time */
    RS_SPAN_ENDED = 1,    /* a unit has done all actions of its errand */
    RS_SPAN_CHANGED = 2,  /* a unit's status differs from what traffic knew */
    RS_SPAN_ODD = 4,      /* a report that traffic did not take: see verdict */
    RS_SPAN_CONFLICT = 8, /* the checker has found something, see there */
    RS_SPAN_FAILED = 16,  /* a unit could not do an action, see fault in the fleet */
    RS_SPAN_TICK = 32,    /* a tick is due that is the caller's, or has more to it than planning */
};

/* Struct of arrays owned by the caller. The fleet is whole: unit u is number u. */
typedef struct {
    rs_drive_fleet *fleet;
    rs_execution *execution;
    rs_tick *tick;
    rs_checker *checker;
    rs_tally *tally;
    const uint32_t *end;     /* [units] actions done at which the unit's errand ends */
    uint8_t *load;           /* [units] as traffic knows it, brought up to date here */
    int32_t *load_id;        /* [units] likewise */
    uint8_t *status;         /* [units] likewise */
    uint8_t *verdict;        /* [units] of the last reports */
    const int32_t *pod_cell; /* [pods] where the monitor knows pods, -1 while carried */
    double step;             /* s */
    double again;            /* s after which a release is sent again */
    double late_share, late_seconds; /* lateness of actions, see rs_drive_lateness */
    uint64_t seed;
    const int32_t *number;   /* [units] 0, 1, ... */
    double *stamp;           /* [units] scratch */
    int32_t *unit;           /* [units] buffers of a release, as rs_execution_collect writes it */
    uint32_t *first;
    int32_t *origin, *count, *taken;
    uint8_t *action; /* [units * capacity] */
    int32_t *cell;
} rs_span;

/* Runs steps tick + 1, tick + 2, ... (step number k is at time k * step) until `steps` of them are
 * done, or one of them has one of the above to tell. The last step ends when the states have been
 * told: what traffic plans then is up to the caller, what it releases is done by the next call. Writes the number of
 * steps to *ran and returns the reasons, 0 for none. `lasts`: a conflict goes on, so the checker
 * has something to tell as soon as there is none. */
int32_t rs_span_run(rs_span *s, int64_t tick, int32_t steps, int32_t lasts, int32_t *ran);

#endif
