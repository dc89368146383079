/* Counts over the states of a fleet: cells entered, time in which units were at work. */
#ifndef RS_WATCH_TALLY_H
#define RS_WATCH_TALLY_H

#include <stdint.h>

/* Struct of arrays owned by the caller. */
typedef struct {
    int32_t units, cells;
    double stamp;        /* s, of the newest state */
    double active, all;  /* unit seconds: at work (moving or loaded), and in all */
    int64_t *entered;    /* [cells] times a unit has been reported in the cell anew */
    int32_t *cell;       /* [units] as last reported, -1 before */
    float *speed;        /* [units] m/s */
    uint8_t *load;       /* [units] 0: nothing */
    uint8_t *status;     /* [units] messages.UnitStatus */
} rs_tally;

/* Takes `count` reports of time `stamp`; units outside the fleet are passed over. */
void rs_tally_take(rs_tally *t, double stamp, int32_t count, const int32_t *unit,
                   const int32_t *cell, const float *speed, const uint8_t *load,
                   const uint8_t *status);

#endif
