/* Moves by which units could lock each other up: checked once, when a building is read. */
#ifndef RS_PLANNER_CONFINED_H
#define RS_PLANNER_CONFINED_H

#include <stdint.h>

/* Lists the moves from -> to beyond which there is too little room: without crossing `from`, fewer
 * than `units` cells can be reached from `to`, itself counted. When a unit in `from` wants to `to`
 * and no move on its way is listed, some unit ahead of it can always make way (see Progress in
 * docs/traffic.md).
 *
 * exits: [height*width] as for the planner, 0 for all cells that do not count. from, to: [most].
 * Returns how many there are, of which at most `most` are listed, or -1 when out of memory. */
int32_t rs_confined_moves(int32_t width, int32_t height, const uint8_t *exits, int32_t units,
                          int32_t most, int32_t *from, int32_t *to);

#endif
