#include "watch/tally.h"

void rs_tally_take(rs_tally *t, double stamp, int32_t count, const int32_t *unit,
                   const int32_t *cell, const float *speed, const uint8_t *load,
                   const uint8_t *status)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t u = unit[i];
        if (u < 0 || u >= t->units)
            continue;
        if (t->cell[u] != cell[i] && cell[i] >= 0 && cell[i] < t->cells)
            t->entered[cell[i]]++;
        t->cell[u] = cell[i];
        t->speed[u] = speed[i];
        t->load[u] = load[i];
        t->status[u] = status[i];
    }
    if (!(stamp > t->stamp))
        return;
    double elapsed = stamp - t->stamp;
    int32_t active = 0;
    for (int32_t u = 0; u < t->units; u++)
        active += t->load[u] != 0 || t->speed[u] > 0.0f;
    t->active += elapsed * active;
    t->all += elapsed * t->units;
    t->stamp = stamp;
}
