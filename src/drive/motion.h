/* Drive units on a grid: released actions in, motion, load and battery out. */
#ifndef RS_DRIVE_MOTION_H
#define RS_DRIVE_MOTION_H

#include <stdint.h>

enum { RS_DRIVE_RING = 128 }; /* released actions a unit can hold that are not done; power of 2 */

/* Health of a unit, codes of messages.UnitStatus. */
enum { RS_DRIVE_OK = 0, RS_DRIVE_CHARGING = 1, RS_DRIVE_STOPPED = 2, RS_DRIVE_DEAD = 3 };

/* What a unit carries, codes of messages.Load. */
enum { RS_DRIVE_EMPTY = 0, RS_DRIVE_POD = 1, RS_DRIVE_PALLET = 2 };

/* A group of n units, numbered from first_unit; struct of arrays owned by the caller.
 * SI units, energies in Wh. Actions of a unit are numbered from 0 in each epoch; action number i
 * stands in its ring at i % RS_DRIVE_RING. */
typedef struct {
    int32_t n, first_unit, width, height;
    int32_t closures; /* cells that are closed */
    double pitch, max_speed, acceleration, turn_time, lift_time, wheel_arm;
    double battery_wh, idle_power, drive_power, load_power, lift_energy, charge_power, pod_mass;

    const uint8_t *kind;   /* [width * height] CellKind */
    const uint8_t *closed; /* [width * height] 1: no unit may be under way to, in or from here */
    int32_t *pod_at;     /* [width * height] pod that stands on the cell, or -1 */
    uint8_t *pod_face;   /* [pods] face each pod shows */

    uint8_t *ring_action; /* [n * RING] */
    int32_t *ring_cell;   /* [n * RING] cell where the action ends */
    double *ring_delay;   /* [n * RING] s the unit hesitates before the action */

    uint32_t *epoch, *done, *released; /* [n] as in messages.FleetState */
    int32_t *cell;                     /* [n] last cell whose centre was reached */
    uint8_t *heading;                  /* [n] at the last completed action */
    int32_t *base_cell;                /* [n] cell and heading at the end of the base */
    uint8_t *base_heading;             /* [n] */
    double *offset;                    /* [n] m driven beyond the centre of `cell` */
    double *v;                         /* [n] m/s */
    double *progress;                  /* [n] s spent in the turn, lift or facing under way */
    double *charge;                    /* [n] battery, 0..1 */
    double *load_mass;                 /* [n] kg carried */
    uint8_t *load;                     /* [n] RS_DRIVE_EMPTY, ... */
    int32_t *load_id;                  /* [n] pod carried, or -1 */
    uint8_t *stopped, *dead, *contact; /* [n] emergency stop, broken or empty, on a charger */
    uint8_t *held;                     /* [n] in a closed cell, or its base leads into one */
    uint8_t *fault; /* [n] what failed in the last step: 1 lift, 2 lower, 4 charge, 8 face */

    float *x, *y, *yaw, *speed, *battery; /* [n] outputs of rs_drive_step */
    uint8_t *status;                      /* [n] output of rs_drive_step */
} rs_drive_fleet;

/* Takes over a release (messages.Release) of k entries with `total` actions in all. Writes the
 * number of actions newly taken per entry to taken [k]. Units of other groups are passed over.
 * Returns the sum of taken, or -1 (and changes nothing) when counts and total do not agree. */
int64_t rs_drive_take(rs_drive_fleet *fleet, uint32_t epoch, int32_t k, const int32_t *unit,
                      const uint32_t *first, const int32_t *origin, const int32_t *count,
                      int64_t total, const uint8_t *action, const int32_t *cell, int32_t *taken);

/* Seconds by which an action (of a unit, in an epoch) is late: 0 for most, exponentially distributed
 * with mean `seconds` for the share `share` of them. The same for equal arguments. */
double rs_drive_lateness(uint64_t seed, int32_t unit, uint32_t epoch, uint32_t action, double share,
                         double seconds);

/* Moves all units on by dt seconds and writes the outputs. Returns the number of units whose
 * lift, lower, facing or charging failed (see `fault`). */
int32_t rs_drive_step(rs_drive_fleet *fleet, double dt);

#endif
