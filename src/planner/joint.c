#include "joint.h"

#include <stdlib.h>
#include <string.h>

int rs_joint_init(rs_joint *j, const rs_grid *grid, const rs_operations *ops, int32_t units,
                  int allow_rotation)
{
    memset(j, 0, sizeof *j);
    j->grid = grid;
    j->ops = ops;
    j->units = units;
    j->allow_rotation = allow_rotation;
    size_t n = units > 0 ? (size_t)units : 1, candidates = n * (size_t)ops->count;
    size_t slots = (size_t)grid->width * (size_t)grid->height * RS_OCCUPANCY_STRIDE;
    j->occupant = malloc(slots * sizeof *j->occupant);
    j->place = calloc(n, sizeof *j->place);
    j->heading = calloc(n, sizeof *j->heading);
    j->op = malloc(candidates * sizeof *j->op);
    j->cost = malloc(candidates * sizeof *j->cost);
    j->candidates = calloc(n, sizeof *j->candidates);
    j->held = malloc(n * sizeof *j->held);
    j->weight = calloc(n, sizeof *j->weight);
    j->rank = calloc(n, sizeof *j->rank);
    if (!j->occupant || !j->place || !j->heading || !j->op || !j->cost || !j->candidates ||
        !j->held || !j->weight || !j->rank) {
        rs_joint_free(j);
        return -1;
    }
    memset(j->occupant, -1, slots * sizeof *j->occupant);
    memset(j->held, -1, n * sizeof *j->held);
    return 0;
}

void rs_joint_free(rs_joint *j)
{
    free(j->occupant);
    free(j->place);
    free(j->heading);
    free(j->op);
    free(j->cost);
    free(j->candidates);
    free(j->held);
    free(j->weight);
    free(j->rank);
    memset(j, 0, sizeof *j);
}

int rs_joint_ring(const rs_joint *j, int32_t unit, int32_t pushed)
{
    int32_t step[RS_HEADINGS] = {1, j->grid->width, -1, -j->grid->width};
    int32_t start = j->place[unit], at = start + step[j->heading[unit]];
    for (;;) {
        int32_t other = j->occupant[(int64_t)at * RS_OCCUPANCY_STRIDE];
        if (other < 0 || other == unit || other == pushed)
            return 0;
        if (rs_joint_elsewhere(j, other))
            return 1;
        if (j->held[other] < 0)
            return 0;
        if (!(j->ops->drives[rs_joint_op(j, other, j->held[other])] & 1))
            return 0;
        at += step[j->heading[other]];
        if (at == start)
            return 1;
    }
}

static void fill(rs_joint *j, int32_t unit, int32_t k, int32_t occupant)
{
    int32_t *here = rs_joint_here(j, unit);
    const int32_t *slot = rs_joint_slots(j, unit, rs_joint_op(j, unit, k));
    for (int d = 0; d < j->ops->depth; d++)
        here[slot[d]] = occupant;
}

void rs_joint_take(rs_joint *j, int32_t unit, int32_t k)
{
    fill(j, unit, k, unit);
    j->held[unit] = k;
}

void rs_joint_drop(rs_joint *j, int32_t unit)
{
    fill(j, unit, j->held[unit], -1);
    j->held[unit] = -1;
}

int rs_joint_safe(const rs_joint *j, const uint8_t *action, int32_t *claimed)
{
    const rs_grid *g = j->grid;
    int32_t step[RS_HEADINGS] = {1, g->width, -1, -g->width};
    int safe = 1;
    int32_t checked = 0;
    for (; checked < j->units && safe; checked++) {
        int32_t u = checked, from = j->place[u], to = from;
        if (action[u] == RS_FORWARD) {
            if (g->next[g->id_of[from] * RS_HEADINGS + j->heading[u]] < 0) {
                safe = 0;
                break;
            }
            to = from + step[j->heading[u]];
        }
        if (claimed[to] >= 0) {
            safe = 0;
            break;
        }
        claimed[to] = u;
        int32_t other = j->occupant[(int64_t)to * RS_OCCUPANCY_STRIDE];
        if (to != from && other >= 0 && other != u && action[other] == RS_FORWARD &&
            to + step[j->heading[other]] == from)
            safe = 0;
    }
    for (int32_t u = 0; u < checked; u++) {
        int32_t from = j->place[u];
        claimed[action[u] == RS_FORWARD ? from + step[j->heading[u]] : from] = -1;
    }
    return safe;
}
