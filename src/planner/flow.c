#include "flow.h"

#include <string.h>

enum {
    RS_FLOW_INTERVAL = 5,  /* steps between two repricings */
    RS_FLOW_MEMORY = 50,   /* steps over which moves are averaged */
    RS_FLOW_TABLE_AGE = 20,      /* steps after which a table is to know the new prices, ... */
    RS_FLOW_LARGE_TABLE_AGE = 60 /* ... on large floors, where units need tables for longer */
};
/* Below this many units a cell opposite streams do not matter, and prices would only cost time. */
static const float RS_FLOW_DENSITY = 0.05f;
/* Extra steps an edge costs for each move a step that goes the other way more often, and at most. */
static const float RS_FLOW_PRICE = 6.0f, RS_FLOW_PRICE_MAX = 2.0f;

/* Extra travel cost against a line's direction: little where there is room to pass, and so much in
 * a corridor that it is only driven the other way by those who have to. Shorter runs are no lanes. */
enum { RS_LANE_RUN = 8, RS_LANE_COST = RS_STEP_COST / 4, RS_CORRIDOR_COST = 4 * RS_STEP_COST };
/* How much the balance of directions forgets from line to line. */
static const float RS_LANE_MEMORY = 0.8f;

/* Leaving the cell in this heading when the way back is open too: the next cell, or -1. */
static int32_t two_way(const rs_grid *g, int32_t cell, int heading)
{
    int32_t to = cell >= 0 ? g->next[cell * RS_HEADINGS + heading] : -1;
    return to >= 0 && g->next[to * RS_HEADINGS + ((heading + 2) & 3)] == cell ? to : -1;
}

static int has_side(const rs_grid *g, int32_t cell, int heading)
{
    return g->next[cell * RS_HEADINGS + ((heading + 1) & 3)] >= 0 ||
           g->next[cell * RS_HEADINGS + ((heading + 3) & 3)] >= 0;
}

/* Length of the unbroken run of two-way edges through the cell. */
static int32_t run_through(const rs_grid *g, int32_t cell, int heading)
{
    int32_t edges = 0;
    for (int turn = 0; turn <= 2; turn += 2)
        for (int32_t at = cell; (at = two_way(g, at, (heading + turn) & 3)) >= 0;)
            edges++;
    return edges;
}

/* Gives every row and column that can be driven both ways a direction, in turn: the one that
 * balances the lines before it, each counting by the squares of its unbroken runs. */
static void lay_lanes(rs_grid *g)
{
    for (int heading = RS_EAST; heading <= RS_SOUTH; heading++) {
        int32_t lines = heading == RS_EAST ? g->height : g->width;
        int32_t length = heading == RS_EAST ? g->width : g->height;
        int32_t along = heading == RS_EAST ? 1 : g->width, across = g->width + 1 - along;
        float balance = 0.0f;
        for (int32_t line = 0; line < lines; line++) {
            float weight = 0.0f, run = 0.0f;
            int against = balance > 0.0f ? heading : heading + 2;
            for (int32_t i = 0; i < length; i++) {
                int32_t cell = g->id_of[line * across + i * along];
                if (two_way(g, cell, heading) >= 0) {
                    run += 1.0f;
                } else {
                    weight += run * run;
                    run = 0.0f;
                }
                int32_t to = two_way(g, cell, against);
                if (to < 0 || run_through(g, cell, heading) < RS_LANE_RUN)
                    continue;
                int wide = has_side(g, cell, against) || has_side(g, to, against);
                uint8_t *cost = &g->edge_cost[cell * RS_HEADINGS + against];
                int32_t more = *cost + (wide ? RS_LANE_COST : RS_CORRIDOR_COST);
                *cost = (uint8_t)(more < RS_EDGE_COST_MAX ? more : RS_EDGE_COST_MAX);
            }
            balance = balance * RS_LANE_MEMORY + (balance > 0.0f ? -weight : weight);
        }
    }
}

int rs_flow_init(rs_flow *f, rs_grid *grid, int32_t units, int guided)
{
    memset(f, 0, sizeof *f);
    f->grid = grid;
    f->active = guided && (float)units > RS_FLOW_DENSITY * (float)grid->cells;
    size_t edges = (size_t)grid->cells * RS_HEADINGS;
    f->base_cost = rs_memory_zeros(&f->memory, edges, sizeof *f->base_cost);
    f->flow = rs_memory_zeros(&f->memory, edges, sizeof *f->flow);
    f->moves = rs_memory_zeros(&f->memory, edges, sizeof *f->moves);
    if (f->memory.failed)
        return -1;
    if (f->active)
        lay_lanes(grid);
    memcpy(f->base_cost, grid->edge_cost, (size_t)grid->cells * RS_HEADINGS);
    return 0;
}

void rs_flow_free(rs_flow *f)
{
    rs_memory_free(&f->memory);
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
    tables->max_age = tables->whole ? RS_FLOW_TABLE_AGE : RS_FLOW_LARGE_TABLE_AGE;
}
