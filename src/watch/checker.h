/* Independent watch over the fleet: finds conflicts in reported states, by geometry alone.
 *
 * Shares no code with planner, execution and drive. Per call O(units + pods). */
#ifndef RS_WATCH_CHECKER_H
#define RS_WATCH_CHECKER_H

#include <stdint.h>

enum { /* kinds of conflict */
    RS_CHECKER_SAME_CELL = 0, /* a, b: units */
    RS_CHECKER_OVERLAP = 1,   /* a, b: units */
    RS_CHECKER_STANDING = 2,  /* a: loaded unit, b: cell of the standing pod that it touches */
    RS_CHECKER_OFF_FLOOR = 3, /* a = b: unit */
    RS_CHECKER_SAME_POD = 4,  /* a, b: units */
    RS_CHECKER_DRIVING = 5,   /* a: unit, b: closed cell that it drives in */
};

/* A change from one state to the next: unit `unit` came from cell `before` to `now`; other >= 0:
 * it exchanged cells with that unit, -1: it entered a closed cell. */
typedef struct {
    int32_t unit, other, before, now;
} rs_checker_move;

/* Struct of arrays owned by the caller; scratch arrays are -1 everywhere between calls. */
typedef struct {
    int32_t units, pods, width, height, most;
    double pitch, unit_half, pod_half, tolerance; /* m; a unit's and a pod's square are twice that */
    const uint8_t *kind;   /* [width * height] 0: wall */
    const uint8_t *closed; /* [width * height] 1: nobody may enter, 2: nor move in there */
    int32_t *cell;         /* [units] as last reported; -1: not heard of */
    double *x, *y, *yaw;   /* [units] m, rad; NaN: not heard of */
    uint8_t *load;         /* [units] 0 nothing, 1 a pod, 2 a pallet */
    int32_t *load_id;      /* [units] pod carried, or -1 */
    int32_t *at;           /* [width * height] scratch */
    int32_t *pod_at;       /* [width * height] scratch */
    int32_t *carrier;      /* [pods] scratch */
    int32_t *next;         /* [units] scratch */
    rs_checker_move *move; /* [2 * units] output */
    int64_t *found;        /* [most] output: kind << 60 | a << 30 | b; what is beyond is left out */
    int32_t moves, founds; /* outputs */
} rs_checker;

/* Judges the fleet after `count` reports. pod_cell: [pods] where pods stand, -1 while carried.
 * Returns moves + founds. */
int32_t rs_checker_check(rs_checker *c, int32_t count, const int32_t *unit, const int32_t *cell,
                         const float *x, const float *y, const float *yaw, const uint8_t *load,
                         const int32_t *load_id, const int32_t *pod_cell);

#endif
