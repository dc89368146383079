/* Safe execution of joint plans: an action dependency graph kept as FIFO queues.
 *
 * Every unit has a queue of planned actions, every cell a queue of planned visits in the order of
 * the plan. A unit may enter a cell once all earlier visitors have reported that they are gone, so
 * delays of any length never make two units meet, and a plan without rings never locks up
 * (W. Hoenig et al., "Persistent and Robust Execution of MAPF Schedules in Warehouses", RA-L 2019;
 * the FIFO form: S. Varambally, J. Li, S. Koenig, "Which MAPF Model Works Best for Automated
 * Warehousing?", SoCS 2022).
 *
 * A unit's cells, oldest first: those it has claimed (where it is, and on to the end of its base:
 * what is released cannot be taken back), then those it is only planned to visit.
 *
 * All memory is given by the caller in one block; nothing is allocated later. */
#ifndef RS_EXECUTION_EXECUTION_H
#define RS_EXECUTION_EXECUTION_H

#include <stddef.h>
#include <stdint.h>

typedef struct rs_execution rs_execution;

enum { RS_ACT_FORWARD = 0, RS_ACT_CW = 1, RS_ACT_CCW = 2, RS_ACT_WAIT = 3 };

/* The state of all units; each array is [units], inside the caller's block, to be read only. */
typedef struct {
    int32_t *cell;     /* after the last action reported done; -1: the unit takes no part */
    uint8_t *heading;
    int32_t *end_cell; /* after the last action planned */
    uint8_t *end_heading;
    uint32_t *planned; /* actions of this epoch: planned, */
    uint32_t *base;    /*   released, */
    uint32_t *sent;    /*   handed out by rs_execution_collect, */
    uint32_t *known;   /*   reported as known to the unit, */
    uint32_t *done;    /*   reported done */
    double *stamp;     /* s, of the newest report */
    uint8_t *fenced;
} rs_execution_view;

enum { /* of rs_execution_commit and rs_execution_append */
    RS_COMMIT_OK = 0,
    RS_COMMIT_BAD_ACTION = 1,
    RS_COMMIT_FULL = 2,    /* more actions than the capacity allows */
    RS_COMMIT_ABSENT = 3,  /* the unit is fenced or takes no part */
    RS_COMMIT_OUTSIDE = 4, /* leaves the grid */
    RS_COMMIT_CLASH = 5,   /* two units into one cell, or into the cell of one that stays */
    RS_COMMIT_RING = 6,    /* units that follow each other in a closed ring: would lock up */
};

enum { /* verdicts on a report */
    RS_REPORT_OK = 0,
    RS_REPORT_STALE = 1,   /* not newer than the last one: ignored */
    RS_REPORT_FENCED = 2,  /* of a unit that is fenced or takes no part: ignored */
    RS_REPORT_FAULTS = 3,  /* verdicts from here on are faults of the unit; nothing is taken over */
    RS_REPORT_UNIT = 3,    /* no such unit */
    RS_REPORT_EPOCH = 4,   /* not the epoch of these releases */
    RS_REPORT_BACK = 5,    /* fewer actions done or known than before */
    RS_REPORT_BEYOND = 6,  /* more actions done or known than it was given */
    RS_REPORT_CELL = 7,    /* a cell that is not on its path */
    RS_REPORT_HEADING = 8, /* a heading that is not on its path */
};

/* Bytes of the block. capacity: a power of two, more than the actions a unit ever has planned and
 * not done. 0 when an argument is out of range. */
size_t rs_execution_bytes(int32_t units, int32_t width, int32_t height, int32_t capacity);

/* Sets up the block (aligned to 8 bytes); no unit takes part before rs_execution_reset. A unit is
 * never released more than `ahead` actions beyond what it has reported done. */
rs_execution *rs_execution_init(void *memory, int32_t units, int32_t width, int32_t height,
                                int32_t capacity, int32_t ahead);
void rs_execution_get_view(rs_execution *e, rs_execution_view *view);

/* Forgets everything and starts `epoch` with the units at cell[units], heading[units]; cell -1: the
 * unit takes no part. Reports not newer than stamp[units] are stale. Returns -1, or a unit whose
 * cell is out of range or taken (then no unit takes part). */
int32_t rs_execution_reset(rs_execution *e, uint32_t epoch, const int32_t *cell,
                           const uint8_t *heading, const double *stamp);

uint32_t rs_execution_epoch(const rs_execution *e);

/* Appends one joint step, action[units]; WAIT appends nothing. On an error nothing is appended and
 * *unit is the unit at fault. */
int rs_execution_commit(rs_execution *e, const uint8_t *action, int32_t *unit);

/* Appends an action that does not move the unit (an operation, code above RS_ACT_WAIT). */
int rs_execution_append(rs_execution *e, int32_t unit, uint8_t action);

/* Takes back the unit's last action if it is an operation and not released; 1 when it did. */
int rs_execution_withdraw(rs_execution *e, int32_t unit);

/* Takes back everything that is not released: all units are planned to stop at the ends of their
 * bases, which are cells of their own. */
void rs_execution_truncate(rs_execution *e);

/* The unit's claimed cells stay its own for good, and its reports are ignored. */
void rs_execution_fence(rs_execution *e, int32_t unit);

/* Takes over `count` reports; verdict[count]. Returns the number of faults. */
int32_t rs_execution_report(rs_execution *e, int32_t count, const double *stamp,
                            const int32_t *unit, const uint32_t *epoch, const uint32_t *done,
                            const uint32_t *known, const int32_t *cell, const uint8_t *heading,
                            uint8_t *verdict);

/* Releases all that may be released; returns how many units have a new end of base. */
int32_t rs_execution_release(rs_execution *e);

/* Writes what is to be sent at time `now` (s): for every unit with an end of base not yet sent, or
 * sent more than `again` s ago and still not known to it, the actions from the first it does not
 * know. Arrays: unit, first, origin, count [units]; action, cell [units * capacity]. Returns the
 * units written and the actions in *actions. */
int32_t rs_execution_collect(rs_execution *e, double now, double again, int32_t *unit,
                             uint32_t *first, int32_t *origin, int32_t *count, uint8_t *action,
                             int32_t *cell, int32_t *actions);

/* Writes the unit's claimed cells, with `planned` also those it is planned into, oldest first, to
 * cell[capacity]; returns how many. */
int32_t rs_execution_claims(const rs_execution *e, int32_t unit, int32_t planned, int32_t *cell);

#endif
