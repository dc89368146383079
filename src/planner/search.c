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
    s->rank = calloc(n, sizeof *s->rank);
    if (!s->visited || !s->visits || !s->rank) {
        rs_search_free(s);
        return -1;
    }
    return 0;
}

void rs_search_free(rs_search *s)
{
    free(s->visited);
    free(s->visits);
    free(s->rank);
    memset(s, 0, sizeof *s);
}

static int on_chain(const rs_search *s, int32_t length, int32_t unit)
{
    for (int32_t i = 0; i < length; i++)
        if (s->chain[i].unit == unit)
            return 1;
    return 0;
}

/* Depth first along the chain. The weighted sum of the chain so far may never exceed `slack`:
 * candidates are sorted by cost, so the first one too dear ends a unit's search. */
static int search_chain(rs_search *s, int32_t root, int32_t floor_rank, double slack,
                        double *change)
{
    rs_joint *j = s->joint;
    int32_t length = 1, pushes = 0;
    if (++s->attempt == 0) {
        memset(s->visited, 0, (size_t)j->units * sizeof *s->visited);
        s->attempt = 1;
    }
    s->chain[0] = (rs_link){root, 0, j->held[root], 0.0};
    s->visited[root] = s->attempt;
    s->visits[root] = RS_VISITS_MAX;
    rs_joint_drop(j, root);
    int found = 0;
    while (length > 0 && !found) {
        rs_link *link = &s->chain[length - 1];
        int32_t unit = link->unit, pushed = RS_CLASH_MANY;
        int32_t last = length == 1 ? link->old : j->candidates[unit];
        double old_cost = rs_joint_candidate(j, unit, link->old)->cost;
        double sum = 0.0;
        while (link->next < last) {
            int32_t k = link->next++;
            sum = link->before + j->weight[unit] * (rs_joint_candidate(j, unit, k)->cost - old_cost);
            if (sum > slack) {
                link->next = last;
                break;
            }
            int32_t other = rs_joint_clash(j, unit, k);
            if (other == RS_CLASH_NONE) {
                rs_joint_take(j, unit, k);
                *change = sum;
                found = 1;
                break;
            }
            if (other >= 0 && length < RS_CHAIN_MAX && pushes < RS_PUSHES_MAX &&
                (s->visited[other] != s->attempt || s->visits[other] < RS_VISITS_MAX) &&
                !on_chain(s, length, other) && s->rank[other] > floor_rank) {
                pushed = other;
                s->chain[length] = (rs_link){other, 0, j->held[other], sum};
                rs_joint_drop(j, other);
                rs_joint_take(j, unit, k);
                break;
            }
        }
        if (found)
            break;
        if (pushed >= 0) {
            if (s->visited[pushed] != s->attempt)
                s->visits[pushed] = 0;
            s->visited[pushed] = s->attempt;
            s->visits[pushed]++;
            pushes++;
            length++;
            continue;
        }
        length--; /* nothing left for this unit: back to who pushed it */
        if (length > 0) {
            rs_joint_drop(j, s->chain[length - 1].unit);
            rs_joint_take(j, unit, link->old);
        } else {
            rs_joint_take(j, root, link->old);
        }
    }
    return found;
}

int rs_search_yield(rs_search *s, int32_t unit)
{
    double change;
    return search_chain(s, unit, s->rank[unit], DBL_MAX, &change);
}

int rs_search_improve(rs_search *s, int32_t unit, double slack, double *change)
{
    return search_chain(s, unit, -1, slack, change);
}
