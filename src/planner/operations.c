#include "operations.h"

#include <string.h>

/* May `action` follow the `depth` actions of `op`? */
static int canonical(const uint8_t *op, int depth, int action)
{
    if (depth == 0 || action == RS_FORWARD || action == RS_WAIT)
        return 1;
    if (op[depth - 1] == RS_WAIT)
        return 0;
    if (op[depth - 1] == RS_FORWARD)
        return 1;
    return action == RS_TURN_CW && op[depth - 1] == RS_TURN_CW &&
           !(depth >= 2 && op[depth - 2] == RS_TURN_CW);
}

/* Where the actions lead, for each heading at the start. */
static void lay_out(rs_operations *ops, int16_t op, const uint8_t *actions, int32_t width)
{
    int32_t step[RS_HEADINGS] = {1, width, -1, -width};
    for (int start = 0; start < RS_HEADINGS; start++) {
        int heading = start;
        int32_t offset = 0;
        for (int d = 0; d < ops->depth; d++) {
            if (actions[d] == RS_FORWARD)
                offset += step[heading];
            else if (actions[d] != RS_WAIT)
                heading = (heading + (actions[d] == RS_TURN_CW ? 1 : 3)) & 3;
            ops->slot[start][op][d] = offset * RS_OCCUPANCY_STRIDE + d + 1;
        }
    }
    for (int d = 0; d < ops->depth; d++)
        ops->drives[op] |= (uint8_t)((actions[d] == RS_FORWARD) << d);
}

void rs_operations_init(rs_operations *ops, int depth, int32_t width)
{
    static const uint8_t order[RS_ACTIONS] = {RS_FORWARD, RS_TURN_CW, RS_TURN_CCW, RS_WAIT};
    uint8_t actions[RS_OPS_MAX][RS_DEPTH_MAX], now[RS_DEPTH_MAX] = {0};
    int tried[RS_DEPTH_MAX + 1], open[RS_DEPTH_MAX + 1];
    memset(ops, 0, sizeof *ops);
    memset(actions, 0, sizeof actions);
    ops->depth = depth;
    int d = 0;
    tried[0] = 0;
    while (d >= 0) {
        if (d == depth || tried[d] == RS_ACTIONS) {
            d--;
            if (d >= 0)
                ops->node[open[d]].skip = (int16_t)ops->nodes;
            continue;
        }
        int action = order[tried[d]++];
        if (!canonical(now, d, action))
            continue;
        rs_op_node *node = &ops->node[ops->nodes];
        open[d] = ops->nodes++;
        now[d] = node->action = (uint8_t)action;
        node->depth = (uint8_t)(d + 1);
        node->op = -1;
        if (d + 1 == depth) {
            node->op = (int16_t)ops->count;
            memcpy(actions[ops->count], now, sizeof now);
            ops->first[ops->count++] = now[0];
        }
        d++;
        tried[d] = 0;
    }
    for (int a = 0; a < ops->count; a++) {
        int waits_after = 1;
        for (int i = 1; i < depth; i++)
            waits_after &= actions[a][i] == RS_WAIT;
        if (waits_after)
            ops->once[actions[a][0]] = (int16_t)a;
    }
    for (int a = 0; a < ops->count; a++) {
        uint8_t left[RS_DEPTH_MAX];
        memset(left, RS_WAIT, sizeof left);
        memcpy(left, actions[a] + 1, (size_t)depth - 1);
        lay_out(ops, (int16_t)a, actions[a], width);
        int waits = 1;
        for (int i = 0; i < depth; i++)
            waits &= actions[a][i] == RS_WAIT;
        if (waits)
            ops->wait = (int16_t)a;
        ops->tail[a] = -1;
        for (int b = 0; b < ops->count; b++)
            if (memcmp(actions[b], left, (size_t)depth) == 0)
                ops->tail[a] = (int16_t)b;
        for (int i = 0; i < depth; i++) {
            int first = a, end = a;
            while (first > 0 && memcmp(actions[first - 1], actions[a], (size_t)i + 1) == 0)
                first--;
            while (end + 1 < ops->count && memcmp(actions[end + 1], actions[a], (size_t)i + 1) == 0)
                end++;
            ops->alike_first[a][i] = (int16_t)first;
            ops->alike_last[a][i] = (int16_t)end;
        }
    }
}
