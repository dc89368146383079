#include "search.h"

#include <float.h>
#include <string.h>

int rs_search_init(rs_search *s, rs_joint *joint)
{
    memset(s, 0, sizeof *s);
    s->joint = joint;
    size_t n = (size_t)joint->units;
    s->visited = rs_memory_zeros(&s->memory, n, sizeof *s->visited);
    s->visits = rs_memory_zeros(&s->memory, n, sizeof *s->visits);
    s->chained = rs_memory_zeros(&s->memory, n, sizeof *s->chained);
    return s->memory.failed ? -1 : 0;
}

void rs_search_free(rs_search *s)
{
    rs_memory_free(&s->memory);
    memset(s, 0, sizeof *s);
}

/* Marks the operations that begin with the same `depth` actions as op. */
static void mark_dead(uint64_t *dead, const rs_operations *ops, int16_t op, int depth)
{
    int32_t first = ops->alike_first[op][depth - 1], last = ops->alike_last[op][depth - 1];
    for (int32_t word = first / 64; word <= last / 64; word++) {
        uint64_t bits = ~UINT64_C(0);
        if (word == first / 64)
            bits &= ~UINT64_C(0) << (first % 64);
        if (word == last / 64)
            bits &= ~UINT64_C(0) >> (63 - last % 64);
        dead[word] |= bits;
    }
}

/* Appends the unit to the chain. The units before it change the weighted sum by `before`; with its
 * own change that may be `slack` at most. */
static void add_link(rs_search *s, int32_t length, int32_t unit, double before, double slack)
{
    rs_link *link = &s->chain[length];
    rs_joint *j = s->joint;
    link->unit = unit;
    link->next = 0;
    link->old = j->held[unit];
    link->before = before;
    double limit = rs_joint_cost(j, unit, link->old) + (slack - before) / j->weight[unit];
    link->limit = limit < 0.0 ? -1 : limit < UINT16_MAX ? (int32_t)limit : UINT16_MAX;
    memset(link->dead, 0, sizeof link->dead);
    if (s->visited[unit] != s->attempt)
        s->visits[unit] = 0;
    s->visited[unit] = s->attempt;
    s->visits[unit]++;
    s->chained[unit] = 1;
    rs_joint_drop(j, unit);
}

static int may_push(const rs_search *s, int32_t unit, int32_t floor_rank)
{
    const rs_joint *j = s->joint;
    return !(j->region && j->region[unit] != j->mine) && !s->chained[unit] &&
           j->rank[unit] > floor_rank &&
           (s->visited[unit] != s->attempt || s->visits[unit] < RS_VISITS_MAX);
}

/* Depth first along the chain. The weighted sum of the chain so far may never exceed `slack`:
 * candidates are sorted by cost, so the first one too dear ends a unit's search. The root only
 * takes candidates before `root_last`. */
static int search_chain(rs_search *s, int32_t root, int32_t root_last, int32_t floor_rank,
                        double slack)
{
    rs_joint *j = s->joint;
    int32_t length = 0, pushes = 0;
    int found = 0;
    if (++s->attempt == 0) {
        memset(s->visited, 0, (size_t)j->units * sizeof *s->visited);
        s->attempt = 1;
    }
    s->work++;
    add_link(s, length++, root, 0.0, slack);
    while (length > 0) {
        rs_link *link = &s->chain[length - 1];
        int32_t unit = link->unit, pushed = -1, k = link->next;
        int32_t last = length == 1 ? root_last : j->candidates[unit];
        const int16_t *ops = j->op + (int64_t)unit * j->ops->count;
        const uint16_t *costs = j->cost + (int64_t)unit * j->ops->count;
        for (; k < last && costs[k] <= link->limit; k++) {
            int16_t op = ops[k];
            if ((link->dead[op / 64] >> (op % 64)) & 1 || (length == 1 && k == link->old))
                continue;
            int depth = 0;
            s->work++;
            int32_t other = rs_joint_clash(j, unit, op, &depth);
            if (other == RS_CLASH_NONE) {
                rs_joint_take(j, unit, k);
                found = 1;
                break;
            }
            if (other == RS_CLASH_MANY || !may_push(s, other, floor_rank)) {
                mark_dead(link->dead, j->ops, op, depth);
            } else if (length < RS_CHAIN_MAX && pushes < RS_PUSHES_MAX) {
                double sum = link->before + j->weight[unit] * (costs[k] - costs[link->old]);
                pushed = other;
                pushes++;
                link->next = k + 1;
                add_link(s, length++, other, sum, slack);
                rs_joint_take(j, unit, k);
                break;
            }
        }
        if (found)
            break;
        if (pushed >= 0)
            continue;
        length--; /* nothing left for this unit: back to the one that pushed it */
        s->chained[unit] = 0;
        if (length > 0)
            rs_joint_drop(j, s->chain[length - 1].unit);
        rs_joint_take(j, unit, link->old);
    }
    while (length > 0)
        s->chained[s->chain[--length].unit] = 0;
    return found;
}

int rs_search_yield(rs_search *s, int32_t unit)
{
    return search_chain(s, unit, s->joint->held[unit], s->joint->rank[unit], DBL_MAX);
}

int rs_search_improve(rs_search *s, int32_t unit, double slack)
{
    /* The first in rank is never pushed. */
    return search_chain(s, unit, s->joint->candidates[unit], 0, slack);
}
