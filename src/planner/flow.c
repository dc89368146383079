#include "flow.h"

#include <stdlib.h>
#include <string.h>

enum {
    RS_FLOW_INTERVAL = 5,  /* steps between two repricings */
    RS_FLOW_MEMORY = 50,   /* steps over which moves are averaged */
    RS_FLOW_TABLE_AGE = 20 /* steps after which a table must know the new prices */
};
/* Below this many units a cell opposite streams do not matter, and prices would only cost time. */
static const float RS_FLOW_DENSITY = 0.05f;
/* Extra steps an edge costs for each move a step that goes the other way more often, and at most. */
static const float RS_FLOW_PRICE = 6.0f, RS_FLOW_PRICE_MAX = 2.0f;

int rs_flow_init(rs_flow *f, rs_grid *grid, int32_t units)
{
    memset(f, 0, sizeof *f);
    f->grid = grid;
    f->active = (float)units > RS_FLOW_DENSITY * (float)grid->cells;
    size_t edges = ((size_t)grid->cells + 1) * RS_HEADINGS;
    f->base_cost = malloc(edges);
    f->flow = calloc(edges, sizeof *f->flow);
    f->moves = calloc(edges, sizeof *f->moves);
    if (!f->base_cost || !f->flow || !f->moves) {
        rs_flow_free(f);
        return -1;
    }
    memcpy(f->base_cost, grid->edge_cost, (size_t)grid->cells * RS_HEADINGS);
    return 0;
}

void rs_flow_free(rs_flow *f)
{
    free(f->base_cost);
    free(f->flow);
    free(f->moves);
    memset(f, 0, sizeof *f);
}

void rs_flow_move(rs_flow *f, int32_t cell, int heading)
{
    f->moves[cell * RS_HEADINGS + heading]++;
}

void rs_flow_step(rs_flow *f, rs_tables *tables)
{
    rs_grid *g = f->grid;
    tables->now = ++f->steps;
    if (!f->active || f->steps % RS_FLOW_INTERVAL)
        return;
    /* A young average is taken over the steps there were, for lanes to form early. */
    float memory = f->steps < RS_FLOW_MEMORY ? (float)f->steps : (float)RS_FLOW_MEMORY;
    float keep = 1.0f - RS_FLOW_INTERVAL / memory;
    for (int32_t e = 0; e < g->cells * RS_HEADINGS; e++) {
        f->flow[e] = f->flow[e] * keep + (float)f->moves[e] / memory;
        f->moves[e] = 0;
    }
    for (int32_t e = 0; e < g->cells * RS_HEADINGS; e++) {
        int32_t to = g->next[e], back = to * RS_HEADINGS + ((e + 2) & 3);
        if (to < 0)
            continue;
        float against = g->next[back] >= 0 ? f->flow[back] - f->flow[e] : 0.0f;
        float price = against > 0.0f ? RS_FLOW_PRICE * against : 0.0f;
        if (price > RS_FLOW_PRICE_MAX)
            price = RS_FLOW_PRICE_MAX;
        int32_t cost = f->base_cost[e] + (int32_t)(price * RS_STEP_COST + 0.5f);
        if (cost > RS_EDGE_COST_MAX)
            cost = RS_EDGE_COST_MAX;
        if (cost != g->edge_cost[e]) {
            g->edge_cost[e] = (uint8_t)cost;
            tables->changed = f->steps;
        }
    }
    tables->max_age = tables->whole ? RS_FLOW_TABLE_AGE : INT32_MAX;
}
