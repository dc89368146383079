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
    size_t n = units > 0 ? (size_t)units : 1;
    size_t places = ((size_t)grid->cells + 1) * RS_OCCUPANCY_STRIDE;
    j->occupant = malloc(places * sizeof *j->occupant);
    j->cell = calloc(n, sizeof *j->cell);
    j->candidate = malloc(n * (size_t)ops->count * sizeof *j->candidate);
    j->candidates = calloc(n, sizeof *j->candidates);
    j->held = malloc(n * sizeof *j->held);
    j->weight = calloc(n, sizeof *j->weight);
    if (!j->occupant || !j->cell || !j->candidate || !j->candidates || !j->held || !j->weight) {
        rs_joint_free(j);
        return -1;
    }
    memset(j->occupant, -1, places * sizeof *j->occupant);
    memset(j->held, -1, n * sizeof *j->held);
    return 0;
}

void rs_joint_free(rs_joint *j)
{
    free(j->occupant);
    free(j->cell);
    free(j->candidate);
    free(j->candidates);
    free(j->held);
    free(j->weight);
    memset(j, 0, sizeof *j);
}

int rs_joint_ring(const rs_joint *j, int32_t unit, int32_t first, int32_t pushed)
{
    int32_t start = j->cell[unit], at = first;
    for (;;) {
        int32_t other = j->occupant[(int64_t)at * RS_OCCUPANCY_STRIDE];
        if (other < 0 || other == unit || other == pushed || j->held[other] < 0)
            return 0;
        int32_t next = rs_joint_candidate(j, other, j->held[other])->path[0];
        if (next == at)
            return 0;
        if (next == start)
            return 1;
        at = next;
    }
}

int32_t rs_joint_clash(const rs_joint *j, int32_t unit, int32_t k, int *depth)
{
    const rs_candidate *c = rs_joint_candidate(j, unit, k);
    const int32_t *occupant = j->occupant;
    int32_t from = j->cell[unit], clash = RS_CLASH_NONE;
    for (int d = 1; d <= j->ops->depth; d++) {
        int32_t to = c->path[d - 1], before = clash;
        const int32_t *there = occupant + (int64_t)to * RS_OCCUPANCY_STRIDE;
        int32_t other = there[d];
        if (other >= 0)
            clash = other;
        if (to != from) {
            other = there[d - 1];
            if (other >= 0 && other != unit && other != clash &&
                occupant[(int64_t)from * RS_OCCUPANCY_STRIDE + d] == other) {
                if (clash != before) {
                    *depth = d;
                    return RS_CLASH_MANY;
                }
                clash = other;
            }
        }
        if (clash != before) {
            *depth = d;
            if (before != RS_CLASH_NONE)
                return RS_CLASH_MANY;
        }
        from = to;
    }
    if (!j->allow_rotation && c->path[0] != j->cell[unit] &&
        rs_joint_ring(j, unit, c->path[0], clash)) {
        *depth = 1;
        return RS_CLASH_MANY;
    }
    return clash;
}

void rs_joint_take(rs_joint *j, int32_t unit, int32_t k)
{
    const rs_candidate *c = rs_joint_candidate(j, unit, k);
    for (int d = 1; d <= j->ops->depth; d++)
        j->occupant[(int64_t)c->path[d - 1] * RS_OCCUPANCY_STRIDE + d] = unit;
    j->held[unit] = k;
}

void rs_joint_drop(rs_joint *j, int32_t unit)
{
    const rs_candidate *c = rs_joint_candidate(j, unit, j->held[unit]);
    for (int d = 1; d <= j->ops->depth; d++)
        j->occupant[(int64_t)c->path[d - 1] * RS_OCCUPANCY_STRIDE + d] = -1;
    j->held[unit] = -1;
}

int rs_joint_safe(const rs_joint *j, const uint8_t *heading, const uint8_t *action,
                  int32_t *claimed)
{
    const rs_grid *g = j->grid;
    int safe = 1;
    for (int32_t u = 0; u < j->units && safe; u++) {
        int32_t from = j->cell[u], to = from;
        if (action[u] == RS_FORWARD)
            to = g->next[from * RS_HEADINGS + heading[u]];
        if (to < 0 || claimed[to] >= 0) {
            safe = 0;
            break;
        }
        claimed[to] = u;
        int32_t other = j->occupant[(int64_t)to * RS_OCCUPANCY_STRIDE];
        if (to != from && other >= 0 && other != u && action[other] == RS_FORWARD &&
            g->next[to * RS_HEADINGS + heading[other]] == from)
            safe = 0;
    }
    for (int32_t u = 0; u < j->units; u++) {
        int32_t from = j->cell[u];
        claimed[from] = -1;
        if (action[u] == RS_FORWARD && g->next[from * RS_HEADINGS + heading[u]] >= 0)
            claimed[g->next[from * RS_HEADINGS + heading[u]]] = -1;
    }
    return safe;
}
