#include "candidates.h"

#include <string.h>

/* Costs of one unit's operations differ by little, so they are sorted by counting; those dearer by
 * more than the span count as equal. */
enum { RS_SORT_SPAN = 192 };

static void sort_by_cost(const int32_t *found, const int16_t *found_op, int32_t count, int16_t *op,
                         uint16_t *cost)
{
    int32_t least = RS_FAR;
    int16_t start[RS_SORT_SPAN + 1];
    memset(start, 0, sizeof start);
    for (int32_t i = 0; i < count; i++)
        least = found[i] < least ? found[i] : least;
    for (int32_t i = 0; i < count; i++) {
        int32_t over = found[i] - least;
        start[(over < RS_SORT_SPAN ? over : RS_SORT_SPAN - 1) + 1]++;
    }
    for (int b = 0; b < RS_SORT_SPAN; b++)
        start[b + 1] = (int16_t)(start[b + 1] + start[b]);
    for (int32_t i = 0; i < count; i++) {
        int32_t over = found[i] - least;
        over = over < RS_SORT_SPAN ? over : RS_SORT_SPAN - 1;
        int32_t k = start[over]++;
        op[k] = found_op[i];
        cost[k] = (uint16_t)over;
    }
}

int32_t rs_candidates(const rs_grid *grid, const rs_operations *ops, const rs_situation *unit,
                      int16_t *op, uint16_t *cost_above)
{
    if (unit->frozen) {
        op[0] = ops->wait;
        cost_above[0] = 0;
        return 1;
    }
    int32_t found[RS_OPS_MAX];
    int16_t found_op[RS_OPS_MAX];
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
        found_op[count] = node->op;
        int32_t *total = &found[count++];
        if (node->op == ops->wait && (unit->goal < 0 || unit->goal == unit->cell))
            *total = 0;
        else if (unit->goal < 0)
            *total = cost[d];
        else if (!arrived[d])
            *total = cost[d] + rs_distance(&unit->table, at, facing);
        else if (next_least < RS_FAR)
            *total = cost[d] + rs_distance(&unit->next_table, at, facing) - next_least;
        else
            *total = cost[d];
    }
    sort_by_cost(found, found_op, count, op, cost_above);
    return count;
}
