#include "candidates.h"

#include <string.h>

/* Costs of one unit's operations differ by little, so they are sorted by counting. */
enum { RS_SORT_SPAN = 128 };

static int32_t sort_by_cost(const rs_candidate *in, int32_t count, rs_candidate *out)
{
    int32_t least = RS_FAR;
    int16_t start[RS_SORT_SPAN + 1];
    memset(start, 0, sizeof start);
    for (int32_t i = 0; i < count; i++)
        if (in[i].cost < least)
            least = in[i].cost;
    for (int32_t i = 0; i < count; i++) {
        int32_t over = in[i].cost - least;
        start[(over < RS_SORT_SPAN ? over : RS_SORT_SPAN - 1) + 1]++;
    }
    for (int b = 0; b < RS_SORT_SPAN; b++)
        start[b + 1] = (int16_t)(start[b + 1] + start[b]);
    for (int32_t i = 0; i < count; i++) {
        int32_t over = in[i].cost - least;
        out[start[over < RS_SORT_SPAN ? over : RS_SORT_SPAN - 1]++] = in[i];
    }
    return count;
}

int32_t rs_candidates(const rs_grid *grid, const rs_operations *ops, const rs_situation *unit,
                      rs_candidate *out)
{
    if (unit->frozen) {
        out[0].cost = 0;
        out[0].op = ops->wait;
        for (int d = 0; d < ops->depth; d++)
            out[0].path[d] = unit->cell;
        return 1;
    }
    rs_candidate found[RS_OPS_MAX];
    int32_t count = 0;
    int32_t cell[RS_DEPTH_MAX + 1], heading[RS_DEPTH_MAX + 1], cost[RS_DEPTH_MAX + 1];
    int arrived[RS_DEPTH_MAX + 1];
    cell[0] = unit->cell;
    heading[0] = unit->heading;
    cost[0] = 0;
    arrived[0] = 0;
    int32_t next_least = RS_FAR;
    for (int h = 0; unit->next_goal >= 0 && h < RS_HEADINGS; h++) {
        int32_t next = rs_distance(&unit->next_table, unit->goal, h);
        next_least = next < next_least ? next : next_least;
    }
    for (int n = 0; n < ops->nodes;) {
        const rs_op_node *node = &ops->node[n];
        int d = node->depth;
        int32_t at = cell[d - 1], facing = heading[d - 1];
        int32_t spent = cost[d - 1] + RS_STEP_COST;
        if (node->action == RS_FORWARD) {
            int32_t edge = at * RS_HEADINGS + facing;
            int32_t to = grid->next[edge];
            if (to < 0 || unit->blocked[to] ||
                (unit->loaded &&
                 (unit->standing[to] || (grid->storage[to] && to != unit->goal)))) {
                n = node->skip;
                continue;
            }
            spent = cost[d - 1] + grid->edge_cost[edge];
            at = to;
        } else if (node->action == RS_TURN_CW) {
            facing = (facing + 1) & 3;
        } else if (node->action == RS_TURN_CCW) {
            facing = (facing + 3) & 3;
        }
        /* Once there, whatever follows is free, if it is not known where to go next. */
        arrived[d] = arrived[d - 1] || (at == unit->goal && unit->cell != unit->goal);
        cell[d] = at;
        heading[d] = facing;
        cost[d] = arrived[d - 1] && next_least >= RS_FAR ? cost[d - 1] : spent;
        n++;
        if (node->op < 0)
            continue;
        rs_candidate *c = &found[count++];
        c->op = node->op;
        for (int i = 0; i < ops->depth; i++)
            c->path[i] = cell[i + 1];
        if (unit->goal < 0)
            c->cost = node->op == ops->wait ? 0 : cost[d];
        else if (!arrived[d])
            c->cost = cost[d] + rs_distance(&unit->table, at, facing);
        else if (next_least < RS_FAR)
            c->cost = cost[d] + rs_distance(&unit->next_table, at, facing) - next_least;
        else
            c->cost = cost[d];
    }
    return sort_by_cost(found, count, out);
}
