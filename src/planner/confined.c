#include "confined.h"

#include <stdlib.h>

#include "grid.h"

/* Can `units` cells be reached from `start` without `closed`? seen: marks of earlier searches. */
static int has_room(const rs_grid *g, int32_t start, int32_t closed, int32_t units, int32_t mark,
                    int32_t *seen, int32_t *queue)
{
    int32_t head = 0, tail = 0;
    seen[closed] = seen[start] = mark;
    queue[tail++] = start;
    while (head < tail && tail < units) {
        int32_t cell = queue[head++];
        for (int h = 0; h < RS_HEADINGS; h++) {
            int32_t next = g->next[cell * RS_HEADINGS + h];
            if (next >= 0 && seen[next] != mark) {
                seen[next] = mark;
                queue[tail++] = next;
            }
        }
    }
    return tail >= units;
}

int32_t rs_confined_moves(int32_t width, int32_t height, const uint8_t *exits, int32_t units,
                          int32_t most, int32_t *from, int32_t *to)
{
    rs_grid g;
    if (rs_grid_init(&g, width, height, exits, NULL, NULL))
        return -1;
    int32_t *seen = calloc((size_t)g.cells + 1, sizeof *seen);
    int32_t *queue = malloc(((size_t)g.cells + 1) * sizeof *queue);
    int32_t found = seen && queue ? 0 : -1;
    for (int32_t c = 0; c < g.cells && found >= 0; c++) {
        for (int h = 0; h < RS_HEADINGS; h++) {
            int32_t edge = c * RS_HEADINGS + h, next = g.next[edge];
            if (next < 0 || has_room(&g, next, c, units, edge + 1, seen, queue))
                continue;
            if (found < most) {
                from[found] = g.place_of[c];
                to[found] = g.place_of[next];
            }
            found++;
        }
    }
    free(seen);
    free(queue);
    rs_grid_free(&g);
    return found;
}
