#include "crowd.h"

#include <string.h>

/* Rows and columns to each side that count as near. */
enum { RS_CROWD_REACH = 6 };

int rs_crowd_init(rs_crowd *c, const rs_grid *grid)
{
    size_t corners = ((size_t)grid->height + 1) * ((size_t)grid->width + 1);
    memset(c, 0, sizeof *c);
    c->grid = grid;
    c->cells = rs_memory_zeros(&c->memory, corners, sizeof *c->cells);
    c->units = rs_memory_zeros(&c->memory, corners, sizeof *c->units);
    if (c->memory.failed)
        return -1;
    for (int32_t row = 0; row < grid->height; row++) {
        int32_t line = 0, *below = c->cells + (int64_t)(row + 1) * (grid->width + 1);
        for (int32_t col = 0; col < grid->width; col++) {
            line += grid->id_of[row * grid->width + col] >= 0;
            below[col + 1] = below[col - grid->width] + line;
        }
    }
    return 0;
}

void rs_crowd_free(rs_crowd *c)
{
    rs_memory_free(&c->memory);
    memset(c, 0, sizeof *c);
}

void rs_crowd_count(rs_crowd *c, const int32_t *occupant, int32_t stride)
{
    const rs_grid *g = c->grid;
    for (int32_t row = 0; row < g->height; row++) {
        int32_t line = 0, *below = c->units + (int64_t)(row + 1) * (g->width + 1);
        for (int32_t col = 0; col < g->width; col++) {
            line += occupant[((int64_t)row * g->width + col) * stride] >= 0;
            below[col + 1] = below[col - g->width] + line;
        }
    }
}

static int32_t in_box(const int32_t *sum, int64_t corners, int32_t top, int32_t left,
                      int32_t bottom, int32_t right)
{
    return sum[bottom * corners + right] - sum[bottom * corners + left] -
           sum[top * corners + right] + sum[top * corners + left];
}

float rs_crowd_near(const rs_crowd *c, int32_t cell)
{
    const rs_grid *g = c->grid;
    int32_t row = g->row[cell], col = g->col[cell];
    int32_t top = row > RS_CROWD_REACH ? row - RS_CROWD_REACH : 0;
    int32_t left = col > RS_CROWD_REACH ? col - RS_CROWD_REACH : 0;
    int32_t bottom = row + RS_CROWD_REACH < g->height ? row + RS_CROWD_REACH + 1 : g->height;
    int32_t right = col + RS_CROWD_REACH < g->width ? col + RS_CROWD_REACH + 1 : g->width;
    return (float)in_box(c->units, g->width + 1, top, left, bottom, right) /
           (float)in_box(c->cells, g->width + 1, top, left, bottom, right);
}
