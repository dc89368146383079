#include "assign.h"

#include <string.h>

static int32_t cheapest(const float *cost, int32_t tasks, const uint8_t *taken)
{
    int32_t best = -1;
    for (int32_t t = 0; t < tasks; t++)
        if (!taken[t] && (best < 0 || cost[t] < cost[best]))
            best = t;
    return best;
}

void rs_assign(int32_t units, int32_t tasks, const float *cost, int32_t *task, int32_t *best,
               uint8_t *taken)
{
    memset(taken, 0, (size_t)tasks);
    for (int32_t u = 0; u < units; u++) {
        task[u] = -1;
        best[u] = cheapest(cost + (int64_t)u * tasks, tasks, taken);
    }
    /* A unit's cheapest task only gets dearer, so it is looked for again only when taken. */
    for (int32_t left = units < tasks ? units : tasks; left > 0;) {
        int32_t next = -1;
        float least = 0.0f;
        for (int32_t u = 0; u < units; u++) {
            float now = task[u] < 0 ? cost[(int64_t)u * tasks + best[u]] : 0.0f;
            if (task[u] < 0 && (next < 0 || now < least)) {
                next = u;
                least = now;
            }
        }
        if (taken[best[next]]) {
            best[next] = cheapest(cost + (int64_t)next * tasks, tasks, taken);
        } else {
            task[next] = best[next];
            taken[best[next]] = 1;
            left--;
        }
    }
}
