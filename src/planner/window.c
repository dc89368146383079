#include "window.h"

#include <string.h>

#include "operations.h"

int rs_window_init(rs_window *w, const rs_grid *grid, int32_t units)
{
    memset(w, 0, sizeof *w);
    w->grid = grid;
    w->units = units;
    rs_memory *m = &w->memory;
    size_t n = (size_t)units, cells = (size_t)grid->cells;
    w->occupant = rs_memory_ones(m, cells * RS_WINDOW_STATES, sizeof *w->occupant);
    w->path = rs_memory_zeros(m, n * RS_WINDOW_STATES, sizeof *w->path);
    w->unit = rs_memory_zeros(m, n, sizeof *w->unit);
    w->late = rs_memory_zeros(m, n, sizeof *w->late);
    w->late_place = rs_memory_zeros(m, n, sizeof *w->late_place);
    w->changed = rs_memory_zeros(m, n, sizeof *w->changed);
    w->node = rs_memory_zeros(m, RS_WINDOW_NODES, sizeof *w->node);
    w->seen = rs_memory_zeros(m, RS_WINDOW_HASH, sizeof *w->seen);
    w->stack = rs_memory_zeros(m, n, sizeof *w->stack);
    return m->failed ? -1 : 0;
}

void rs_window_free(rs_window *w)
{
    rs_memory_free(&w->memory);
    memset(w, 0, sizeof *w);
}

static inline int32_t *occupant_of(const rs_window *w, int32_t state, int step)
{
    return &w->occupant[(int64_t)(state / RS_HEADINGS) * RS_WINDOW_STATES + step];
}

static void fill(rs_window *w, int32_t unit, int32_t occupant)
{
    const int32_t *path = rs_window_path(w, unit);
    for (int t = 0; t <= RS_WINDOW; t++)
        *occupant_of(w, path[t], t) = occupant;
}

/* Who is in the way of the move that ends in step t (up to two units; -1 none). */
static inline void in_way(const rs_window *w, int32_t from, int32_t to, int step, int32_t way[2])
{
    way[0] = *occupant_of(w, to, step);
    way[1] = -1;
    if (from / RS_HEADINGS != to / RS_HEADINGS) {
        int32_t other = *occupant_of(w, to, step - 1);
        if (other >= 0 && other != way[0] && *occupant_of(w, from, step) == other)
            way[1] = other;
    }
}

/* Cost from here to the end of what is known of the unit's errands. */
static inline int32_t remaining(const rs_window_unit *u, int32_t state, int arrived)
{
    if (u->at.goal < 0)
        return 0;
    if (!arrived)
        return rs_distance(&u->at.table, state / RS_HEADINGS, state % RS_HEADINGS) + u->after;
    if (u->at.next_goal >= 0)
        return rs_distance(&u->at.next_table, state / RS_HEADINGS, state % RS_HEADINGS);
    return 0;
}

static inline int at_rest(const rs_window_unit *u)
{
    return u->at.goal < 0 || u->at.goal == u->at.cell;
}

static inline int32_t action_cost(const rs_window *w, const rs_window_unit *u, int32_t from,
                                  int32_t to, int arrived)
{
    if (arrived && u->at.next_goal < 0)
        return 0;
    if (from == to && at_rest(u) && (u->at.goal < 0 || from / RS_HEADINGS == u->at.goal))
        return 0;
    return from / RS_HEADINGS != to / RS_HEADINGS ? w->grid->edge_cost[from] : RS_STEP_COST;
}

static inline int arrives(const rs_window_unit *u, int32_t state)
{
    return state / RS_HEADINGS == u->at.goal && !at_rest(u);
}

/* The state after the action, or -1. */
static inline int32_t apply(const rs_window *w, const rs_window_unit *u, int32_t from, int action)
{
    int32_t cell = from / RS_HEADINGS, heading = from % RS_HEADINGS;
    if (action == RS_FORWARD) {
        int32_t to = w->grid->next[from];
        if (to < 0 || u->at.blocked[to] ||
            (u->at.loaded &&
             (u->at.standing[to] || (w->grid->storage[to] && to != u->at.goal))))
            return -1;
        return to * RS_HEADINGS + heading;
    }
    if (action == RS_WAIT)
        return from;
    return cell * RS_HEADINGS + ((heading + (action == RS_TURN_CW ? 1 : 3)) & 3);
}

static int32_t path_cost(const rs_window *w, int32_t unit)
{
    const rs_window_unit *u = &w->unit[unit];
    const int32_t *path = rs_window_path(w, unit);
    int32_t cost = 0, arrived = 0;
    for (int t = 1; t <= RS_WINDOW; t++) {
        cost += action_cost(w, u, path[t - 1], path[t], arrived);
        arrived |= arrives(u, path[t]);
    }
    return cost + remaining(u, path[RS_WINDOW], arrived);
}

static void set_cost(rs_window *w, int32_t unit, int32_t cost)
{
    rs_window_unit *u = &w->unit[unit];
    u->cost = cost;
    int32_t place = w->late_place[unit], late = cost > u->least && !u->fixed;
    if (late && place < 0) {
        w->late_place[unit] = w->lates;
        w->late[w->lates++] = unit;
    } else if (!late && place >= 0) {
        int32_t last = w->late[--w->lates];
        w->late[place] = last;
        w->late_place[last] = place;
        w->late_place[unit] = -1;
    }
}

/* The unit waits all the time, and so do all that wanted to pass. */
static void make_wait(rs_window *w, int32_t unit)
{
    int32_t top = 0;
    w->stack[top++] = unit;
    while (top > 0) {
        int32_t u = w->stack[--top], *path = rs_window_path(w, u);
        for (int t = 1; t <= RS_WINDOW; t++)
            path[t] = path[0];
        for (int t = 0; t <= RS_WINDOW; t++) {
            int32_t other = *occupant_of(w, path[0], t);
            if (other >= 0 && other != u) {
                fill(w, other, -1);
                w->stack[top++] = other;
            }
        }
        fill(w, u, u);
    }
}

/* May the unit go its path as far as it is known, with those that are in the plan? */
static int can_keep(const rs_window *w, int32_t unit)
{
    const rs_window_unit *u = &w->unit[unit];
    const int32_t *path = rs_window_path(w, unit);
    int32_t way[2];
    for (int t = 1; t <= RS_WINDOW; t++) {
        if (path[t] != path[t - 1]) {
            if (t <= u->bound_to)
                return 0;
            if (path[t] / RS_HEADINGS != path[t - 1] / RS_HEADINGS &&
                apply(w, u, path[t - 1], RS_FORWARD) != path[t])
                return 0;
        }
        in_way(w, path[t - 1], path[t], t, way);
        if (way[0] >= 0 || way[1] >= 0)
            return 0;
    }
    return 1;
}

/* Puts the best free action in place of the wait at the end of the path. */
static void lengthen(rs_window *w, int32_t unit)
{
    const rs_window_unit *u = &w->unit[unit];
    int32_t *path = rs_window_path(w, unit), from = path[RS_WINDOW - 1], best = from, least = RS_FAR;
    if (u->fixed || u->bound_to >= RS_WINDOW)
        return;
    int arrived = 0;
    for (int t = 1; t < RS_WINDOW; t++)
        arrived |= arrives(u, path[t]);
    *occupant_of(w, from, RS_WINDOW) = -1;
    for (int action = 0; action < RS_ACTIONS; action++) {
        int32_t way[2], to = apply(w, u, from, action);
        if (to < 0)
            continue;
        in_way(w, from, to, RS_WINDOW, way);
        if (way[0] >= 0 || way[1] >= 0)
            continue;
        int32_t cost = action_cost(w, u, from, to, arrived) +
                       remaining(u, to, arrived || arrives(u, to));
        if (cost < least || (cost == least && action == RS_WAIT)) {
            least = cost;
            best = to;
        }
    }
    path[RS_WINDOW] = best;
    *occupant_of(w, best, RS_WINDOW) = unit;
}

/* 1 when the search comes here for the first time. */
static int new_here(rs_window *w, int32_t state, int step, int arrived)
{
    uint64_t key = ((uint64_t)state * RS_WINDOW_STATES + (uint64_t)step) * 2 + (uint64_t)arrived;
    uint64_t value = (uint64_t)w->search << 40 | key;
    uint64_t at = (key * UINT64_C(0x9E3779B97F4A7C15)) >> 40;
    for (;; at++) {
        uint64_t *slot = &w->seen[at % RS_WINDOW_HASH];
        if (*slot == value)
            return 0;
        if (*slot >> 40 != w->search) {
            *slot = value;
            return 1;
        }
    }
}

/* The cheapest path for the unit, which has none in the plan, that costs at most `limit`. A*, the
 * distance to the goal being known; of equal totals the newest goes first. */
static int32_t find_path(rs_window *w, int32_t unit, int32_t penalty, int32_t limit)
{
    static const uint8_t order[2][RS_ACTIONS] = {{RS_WAIT, RS_TURN_CCW, RS_TURN_CW, RS_FORWARD},
                                                 {RS_TURN_CCW, RS_TURN_CW, RS_FORWARD, RS_WAIT}};
    rs_window_unit *u = &w->unit[unit];
    int32_t nodes = 0, low = 0, popped = 0, now = u->at.cell * RS_HEADINGS + u->at.heading;
    memset(w->bucket, -1, sizeof w->bucket);
    w->search = (w->search + 1) & 0xFFFFFF;
    if (!w->search) {
        memset(w->seen, 0, RS_WINDOW_HASH * sizeof *w->seen);
        w->search = 1;
    }
    w->node[nodes++] = (rs_window_node){.state = now, .parent = -1, .next = -1};
    w->bucket[0] = 0;
    int32_t found = -1;
    while (low < RS_WINDOW_BUCKETS && found < 0) {
        int32_t n = w->bucket[low];
        if (n < 0) {
            low++;
            continue;
        }
        rs_window_node *node = &w->node[n];
        w->bucket[low] = node->next;
        if (!new_here(w, node->state, node->step, node->arrived))
            continue;
        if (node->step == RS_WINDOW) {
            found = n;
            break;
        }
        if (++popped > RS_WINDOW_HASH / 2 || nodes + RS_ACTIONS > RS_WINDOW_NODES)
            break;
        int step = node->step + 1;
        int waits = (node->arrived && u->at.next_goal < 0) || at_rest(u);
        for (int i = 0; i < RS_ACTIONS; i++) {
            int action = order[waits][i];
            if (step <= u->bound_to && action != RS_WAIT)
                continue;
            int32_t to = apply(w, u, node->state, action), way[2], hits = 0;
            if (to < 0)
                continue;
            in_way(w, node->state, to, step, way);
            for (int k = 0; k < 2 && hits >= 0; k++) {
                if (way[k] < 0)
                    continue;
                if (penalty < 0 || w->changed[way[k]] == w->change || w->unit[way[k]].fixed)
                    hits = -1;
                else
                    hits++;
            }
            if (hits < 0)
                continue;
            int arrived = node->arrived || arrives(u, to);
            int32_t rest = remaining(u, to, arrived);
            int32_t cost = node->cost + action_cost(w, u, node->state, to, node->arrived);
            int32_t paid = node->penalty + hits * penalty;
            if (cost + rest > limit)
                continue;
            int32_t b = cost + rest - u->least + paid;
            b = b < low ? low : b; /* lower bounds may fall where tables are not filled */
            if (b >= RS_WINDOW_BUCKETS)
                continue;
            w->node[nodes] = (rs_window_node){.state = to, .parent = n, .next = w->bucket[b],
                                              .cost = cost, .penalty = paid,
                                              .step = (uint8_t)step, .arrived = (uint8_t)arrived};
            w->bucket[b] = nodes++;
        }
    }
    w->work += nodes;
    if (found < 0)
        return -1;
    int32_t cost = w->node[found].cost +
                   remaining(u, w->node[found].state, w->node[found].arrived);
    int32_t *path = rs_window_path(w, unit);
    for (int32_t n = found; n >= 0; n = w->node[n].parent)
        path[w->node[n].step] = w->node[n].state;
    return cost;
}

void rs_window_begin(rs_window *w, const uint8_t *keep)
{
    w->lates = 0;
    for (int32_t i = 0; i < w->units; i++) {
        rs_window_unit *u = &w->unit[i];
        int32_t *path = rs_window_path(w, i), now = u->at.cell * RS_HEADINGS + u->at.heading;
        w->late_place[i] = -1;
        u->after = 0;
        if (u->at.goal >= 0 && u->at.next_goal >= 0 && !at_rest(u)) {
            u->after = RS_FAR;
            for (int h = 0; h < RS_HEADINGS; h++) {
                int32_t next = rs_distance(&u->at.next_table, u->at.goal, h);
                u->after = next < u->after ? next : u->after;
            }
        }
        if (u->after >= RS_FAR || at_rest(u)) {
            u->after = 0;
            u->at.next_goal = -1;
        }
        u->least = remaining(u, now, 0);
        if (u->least >= RS_FAR) {
            u->at.goal = -1;
            u->least = 0;
        }
        path[0] = now;
        if (keep[i] && can_keep(w, i))
            fill(w, i, i);
        else
            make_wait(w, i);
    }
    for (int32_t i = 0; i < w->units; i++) {
        lengthen(w, i);
        set_cost(w, i, path_cost(w, i));
    }
}

/* Takes the unit out of the plan and onto the list of those that plan anew. */
static void take_out(rs_window *w, int32_t *count, int32_t unit)
{
    int32_t i = (*count)++;
    w->list[i] = unit;
    w->old_cost[i] = w->unit[unit].cost;
    memcpy(w->old_path[i], rs_window_path(w, unit), sizeof w->old_path[i]);
    w->changed[unit] = w->change;
    fill(w, unit, -1);
}

int rs_window_improve(rs_window *w, int32_t unit, int32_t penalty, double slack)
{
    int32_t count = 0, done = 0, ok = 1;
    double sum = 0.0;
    w->change++;
    take_out(w, &count, unit);
    sum += w->unit[unit].weight * (w->unit[unit].least - w->unit[unit].cost);
    for (; done < count && ok; done++) {
        int32_t u = w->list[done];
        rs_window_unit *who = &w->unit[u];
        double room = who->least + (slack - sum) / who->weight;
        if (room < who->least) {
            ok = 0;
            break;
        }
        int32_t cost = find_path(w, u, penalty, room < RS_FAR ? (int32_t)room : RS_FAR);
        if (cost < 0) {
            ok = 0;
            break;
        }
        const int32_t *path = rs_window_path(w, u);
        for (int t = 1; t <= RS_WINDOW && ok; t++) {
            int32_t way[2];
            in_way(w, path[t - 1], path[t], t, way);
            for (int k = 0; k < 2 && ok; k++) {
                if (way[k] < 0 || w->changed[way[k]] == w->change)
                    continue;
                if (count == RS_WINDOW_UNITS) {
                    ok = 0;
                    break;
                }
                const rs_window_unit *other = &w->unit[way[k]];
                sum += other->weight * (other->least - other->cost);
                take_out(w, &count, way[k]);
            }
        }
        if (!ok)
            break;
        sum += who->weight * (cost - who->least);
        fill(w, u, u);
        who->cost = cost;
    }
    if (ok && sum <= slack) {
        for (int32_t i = 0; i < count; i++)
            set_cost(w, w->list[i], w->unit[w->list[i]].cost);
        return 1;
    }
    for (int32_t i = 0; i < done; i++)
        fill(w, w->list[i], -1);
    for (int32_t i = 0; i < count; i++) {
        memcpy(rs_window_path(w, w->list[i]), w->old_path[i], sizeof w->old_path[i]);
        w->unit[w->list[i]].cost = w->old_cost[i];
        fill(w, w->list[i], w->list[i]);
    }
    return 0;
}

void rs_window_shift(rs_window *w)
{
    for (int32_t i = 0; i < w->units; i++) {
        int32_t *path = rs_window_path(w, i);
        fill(w, i, -1);
        memmove(path, path + 1, RS_WINDOW * sizeof *path);
        path[RS_WINDOW] = path[RS_WINDOW - 1];
    }
}

uint8_t rs_window_action(const rs_window *w, int32_t unit)
{
    const int32_t *path = rs_window_path(w, unit);
    if (path[1] == path[0])
        return RS_WAIT;
    if (path[1] / RS_HEADINGS != path[0] / RS_HEADINGS)
        return RS_FORWARD;
    return ((path[1] - path[0]) & 3) == 1 ? RS_TURN_CW : RS_TURN_CCW;
}
