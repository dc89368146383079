/* Which unit does which of the open tasks. */
#ifndef RS_PLANNER_ASSIGN_H
#define RS_PLANNER_ASSIGN_H

#include <stdint.h>

/* Greedy matching: again and again the cheapest pair of a free unit and a free task, until units or
 * tasks are used up; of equal pairs the one of the lower unit, then of the lower task.
 * cost: [units*tasks]. task: [units] each unit's task, or -1. best: [units] and taken: [tasks] are
 * scratch. */
void rs_assign(int32_t units, int32_t tasks, const float *cost, int32_t *task, int32_t *best,
               uint8_t *taken);

#endif
