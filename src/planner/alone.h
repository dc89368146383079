/* Exact shortest times of a unit alone on the floor, for bounds. */
#ifndef RS_PLANNER_ALONE_H
#define RS_PLANNER_ALONE_H

#include <stdint.h>

/* For every unit: how many of its errands it could visit in order within `steps` if it were alone.
 * exits: [height*width] as for the planner. start: [units] grid index, heading east. Errand k of
 * unit u is errand[u + k*units] (round robin), errands in all. Meeting an errand takes at least one
 * step. Returns 0, -1 when out of memory or -2 for a place outside the floor. */
int rs_alone_round_robin(int32_t width, int32_t height, const uint8_t *exits, int32_t units,
                         const int32_t *start, int64_t errands, const int32_t *errand,
                         int32_t steps, int32_t *done);

/* For every leg: the steps of a unit from `from`, facing `heading`, to `to`, or -1 when there is no
 * way in at most `steps`; a loaded one enters no storage cell but the goal. Returns as above. */
int rs_alone_legs(int32_t width, int32_t height, const uint8_t *exits, const uint8_t *storage,
                  int32_t legs, const int32_t *from, const uint8_t *heading, const int32_t *to,
                  const uint8_t *loaded, int32_t steps, int32_t *time);

#endif
