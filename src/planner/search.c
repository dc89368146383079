#include "search.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

int rs_search_init(rs_search *s, rs_joint *joint)
{
    memset(s, 0, sizeof *s);
    s->joint = joint;
    size_t n = joint->units > 0 ? (size_t)joint->units : 1;
    s->visited = calloc(n, sizeof *s->visited);
    s->visits = calloc(n, sizeof *s->visits);
    s->chained = calloc(n, sizeof *s->chained);
    s->rank = calloc(n, sizeof *s->rank);
    if (!s->visited || !s->visits || !s->chained || !s->rank) {
        rs_search_free(s);
        return -1;
    }
    return 0;
}

void rs_search_free(rs_search *s)
{
    free(s->visited);
    free(s->visits);
    free(s->chained);
    free(s->rank);
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

static void add_link(rs_search *s, int32_t length, int32_t unit, double before)
{
    rs_link *link = &s->chain[length];
    memset(link, 0, sizeof *link);
    link->unit = unit;
    link->old = s->joint->held[unit];
    link->before = before;
    if (s->visited[unit] != s->attempt)
        s->visits[unit] = 0;
    s->visited[unit] = s->attempt;
    s->visits[unit]++;
    s->chained[unit] = 1;
    rs_joint_drop(s->joint, unit);
}

static int may_push(const rs_search *s, int32_t unit, int32_t floor_rank)
{
    return !s->chained[unit] && s->rank[unit] > floor_rank &&
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
    add_link(s, length++, root, 0.0);
    while (length > 0) {
        rs_link *link = &s->chain[length - 1];
        int32_t unit = link->unit, pushed = -1;
        int32_t last = length == 1 ? root_last : j->candidates[unit];
        double weight = j->weight[unit], old_cost = rs_joint_candidate(j, unit, link->old)->cost;
        while (link->next < last) {
            int32_t k = link->next++;
            const rs_candidate *c = rs_joint_candidate(j, unit, k);
            double sum = link->before + weight * (c->cost - old_cost);
            if (sum > slack)
                break;
            if ((link->dead[c->op / 64] >> (c->op % 64)) & 1 || (length == 1 && k == link->old))
                continue;
            int depth;
            s->work++;
            int32_t other = rs_joint_clash(j, unit, k, &depth);
            if (other == RS_CLASH_NONE) {
                rs_joint_take(j, unit, k);
                found = 1;
                break;
            }
            if (other == RS_CLASH_MANY || !may_push(s, other, floor_rank)) {
                mark_dead(link->dead, j->ops, c->op, depth);
            } else if (length < RS_CHAIN_MAX && pushes < RS_PUSHES_MAX) {
                pushed = other;
                pushes++;
                add_link(s, length++, other, sum);
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
    return search_chain(s, unit, s->joint->held[unit], s->rank[unit], DBL_MAX);
}

int rs_search_improve(rs_search *s, int32_t unit, double slack)
{
    /* The first in rank is never pushed. */
    return search_chain(s, unit, s->joint->candidates[unit], 0, slack);
}
