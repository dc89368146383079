#include "regions.h"

#include <string.h>

/* In strips narrower than so many times the reach too many units would be near a border, and chains
 * of pushes would end there: on crowded floors of 32 x 32 cells that made plans worse. */
enum { RS_STRIP_REACHES = 8 };

/* Strip of the line before which so many of the units are. */
static int32_t strip_at(int32_t before, int32_t units, int32_t strips, float phase)
{
    return (int32_t)((float)before / (float)units * (float)strips + phase);
}

static int32_t room(int32_t lines, int32_t most, int32_t reach)
{
    int32_t strips = lines / (RS_STRIP_REACHES * reach);
    return strips < 1 ? 1 : strips < most ? strips : most;
}

int32_t rs_regions(const rs_grid *grid, int32_t units, const int32_t *cell, int axis, float phase,
                   int32_t most, int32_t reach, uint8_t *region, int32_t *count)
{
    if (room(axis ? grid->height : grid->width, most, reach) < 2)
        axis = !axis;
    int32_t lines = axis ? grid->height : grid->width, strips = room(lines, most, reach);
    memset(count, 0, (size_t)lines * sizeof *count);
    for (int32_t u = 0; u < units; u++)
        count[axis ? grid->row[cell[u]] : grid->col[cell[u]]]++;
    for (int32_t line = 0, before = 0; line < lines; line++) {
        int32_t here = count[line];
        count[line] = strips > 1 ? strip_at(before, units, strips, phase) : 0;
        before += here;
    }
    for (int32_t u = 0; u < units; u++) {
        int32_t line = axis ? grid->row[cell[u]] : grid->col[cell[u]];
        int32_t low = line - reach, high = line + reach;
        low = low < 0 ? 0 : low;
        high = high >= lines ? lines - 1 : high;
        /* The first and the last strip are of one region: between them lie the others. */
        region[u] = count[low] != count[high] ? RS_NO_REGION : (uint8_t)(count[line] % strips);
    }
    return strips;
}
