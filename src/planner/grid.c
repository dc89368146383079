#include "grid.h"

#include <math.h>
#include <string.h>

static int32_t ahead(int32_t width, int32_t height, int32_t place, int heading)
{
    int32_t row = place / width, col = place % width;
    switch (heading) {
    case RS_EAST: return col + 1 < width ? place + 1 : -1;
    case RS_SOUTH: return row + 1 < height ? place + width : -1;
    case RS_WEST: return col > 0 ? place - 1 : -1;
    default: return row > 0 ? place - width : -1;
    }
}

int rs_grid_init(rs_grid *grid, int32_t width, int32_t height, const uint8_t *exits,
                 const uint8_t *storage, const float *cost)
{
    int32_t places = width * height, cells = 0;
    memset(grid, 0, sizeof *grid);
    grid->width = width;
    grid->height = height;
    for (int32_t p = 0; p < places; p++)
        cells += (exits[p] & 15) != 0;
    grid->cells = cells;
    rs_memory *m = &grid->memory;
    size_t n = (size_t)cells;
    grid->id_of = rs_memory_zeros(m, (size_t)places, sizeof *grid->id_of);
    grid->place_of = rs_memory_zeros(m, n, sizeof *grid->place_of);
    grid->row = rs_memory_zeros(m, n, sizeof *grid->row);
    grid->col = rs_memory_zeros(m, n, sizeof *grid->col);
    grid->next = rs_memory_zeros(m, n * RS_HEADINGS, sizeof *grid->next);
    grid->prev = rs_memory_ones(m, n * RS_HEADINGS, sizeof *grid->prev);
    grid->edge_cost = rs_memory_zeros(m, n * RS_HEADINGS, sizeof *grid->edge_cost);
    grid->storage = rs_memory_zeros(m, n, sizeof *grid->storage);
    if (m->failed) {
        rs_grid_free(grid);
        return -1;
    }
    int32_t id = 0;
    for (int32_t p = 0; p < places; p++) {
        grid->id_of[p] = (exits[p] & 15) ? id : -1;
        if (exits[p] & 15) {
            grid->place_of[id] = p;
            grid->row[id] = p / width;
            grid->col[id] = p % width;
            grid->storage[id] = storage && storage[p];
            id++;
        }
    }
    for (int32_t c = 0; c < cells; c++) {
        int32_t p = grid->place_of[c];
        for (int h = 0; h < RS_HEADINGS; h++) {
            int32_t q = (exits[p] >> h) & 1 ? ahead(width, height, p, h) : -1;
            int32_t to = q >= 0 ? grid->id_of[q] : -1;
            grid->next[c * RS_HEADINGS + h] = to;
            float extra = to >= 0 && cost ? cost[q] * RS_STEP_COST : 0.0f;
            float total = RS_STEP_COST + (extra > 0.0f ? roundf(extra) : 0.0f);
            grid->edge_cost[c * RS_HEADINGS + h] =
                (uint8_t)(total < RS_EDGE_COST_MAX ? total : RS_EDGE_COST_MAX);
            if (to >= 0)
                grid->prev[to * RS_HEADINGS + h] = c;
        }
    }
    return 0;
}

void rs_grid_free(rs_grid *grid)
{
    rs_memory_free(&grid->memory);
    memset(grid, 0, sizeof *grid);
}
