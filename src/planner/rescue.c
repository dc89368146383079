#include "rescue.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "operations.h"

enum {
    RS_NODES_MAX = 1 << 16,        /* arrangements of one search */
    RS_TABLE = 1 << 17,            /* places for their hashes */
    RS_ROOM_MAX = 1 << 21,         /* numbers to hold them */
    RS_COSTS = 1 << 16,            /* buckets */
    RS_MOVES_MAX = 1 << 16,        /* of a macro, and of a script */
    RS_WORK_A_STEP = 100000,       /* cells looked at */
    RS_CORRIDOR_MAX = 64,          /* cells of a corridor driven through at once */
    RS_SMALL = 256,                /* cells of a floor of which all arrangements are looked at */
    RS_SINGLES_MAX = 64,           /* so many units may be moved one by one */
    RS_PATIENCE_SCRIPT = 64,       /* steps without a move after which a script is given up */
    RS_RETRY = 64,                 /* steps after a failure, doubled with each */
};

/* The part of the floor that is looked at grows with every try: cells, and moves to get nearer. */
enum { RS_LEVELS = 3, RS_LAST = RS_LEVELS - 1 };
static const int32_t RS_WINDOW[RS_LEVELS] = {128, 1024, INT32_MAX};
static const int32_t RS_NEARER[RS_LEVELS] = {6, 16, INT32_MAX};
static const int32_t RS_NODES[RS_LEVELS] = {2000, 4000, RS_NODES_MAX};
static const int64_t RS_WORK[RS_LEVELS] = {500000, 1000000, 8000000};

/* What a search can do next. A run clears so many cells of the way and drives over them. */
enum {
    RS_ADVANCE = 0,                /* + heading: one cell */
    RS_CORRIDOR = 4,               /* + heading: to the end of a corridor */
    RS_VACATE = 8,                 /* clear the goal */
    RS_RUN = 9,                    /* + i: 2^i cells towards the goal */
    RS_RUN_LAST = RS_RUN + 24,
    RS_SINGLE = 64                 /* + 4 * member + heading: one move of another unit */
};
enum { RS_COST_RUN = 1, RS_COST_SINGLE = 3, RS_STEPS_WEIGHT = 2 };

int rs_rescue_init(rs_rescue *r, const rs_grid *grid, int32_t units)
{
    memset(r, 0, sizeof *r);
    r->grid = grid;
    r->units = units;
    r->wanted = -1;
    size_t n = (size_t)units + 1, cells = (size_t)grid->cells + 1;
    r->room = (int64_t)n * RS_NODES_MAX < RS_ROOM_MAX ? (int64_t)n * RS_NODES_MAX : RS_ROOM_MAX;
    r->nearest = malloc(n * sizeof *r->nearest);
    r->stalled = calloc(n, sizeof *r->stalled);
    r->retry = calloc(n, sizeof *r->retry);
    r->last_goal = malloc(n * sizeof *r->last_goal);
    r->tries = calloc(n, 1);
    r->fails = calloc(n, 1);
    r->held = calloc(n, 1);
    r->action = calloc(n, 1);
    r->closed = calloc(cells, 1);
    r->mark = calloc(cells, 1);
    r->open = calloc(cells, 1);
    r->standing = calloc(cells, 1);
    r->steps = malloc(cells * sizeof *r->steps);
    r->queue = malloc(2 * cells * sizeof *r->queue);
    r->member = malloc(n * sizeof *r->member);
    r->laden = malloc(n);
    r->own_goal = malloc(n * sizeof *r->own_goal);
    r->kind = malloc(n * sizeof *r->kind);
    r->start = malloc(n * sizeof *r->start);
    r->at = malloc(n * sizeof *r->at);
    r->who = malloc(cells * sizeof *r->who);
    r->move = malloc(RS_MOVES_MAX * sizeof *r->move);
    r->via = malloc(2 * cells * sizeof *r->via);
    r->carrier = malloc(2 * cells * sizeof *r->carrier);
    r->seen = calloc(2 * cells, sizeof *r->seen);
    r->keep = calloc(cells, sizeof *r->keep);
    r->node = malloc(RS_NODES_MAX * sizeof *r->node);
    r->arrangement = malloc((size_t)r->room * sizeof *r->arrangement);
    for (int q = 0; q < 2; q++) {
        r->open_nodes[q].first = malloc(RS_COSTS * sizeof *r->open_nodes[q].first);
        r->open_nodes[q].last = malloc(RS_COSTS * sizeof *r->open_nodes[q].last);
    }
    r->table = malloc(RS_TABLE * sizeof *r->table);
    r->path = malloc(RS_NODES_MAX * sizeof *r->path);
    r->script = malloc(RS_MOVES_MAX * sizeof *r->script);
    r->turn = calloc(n, sizeof *r->turn);
    r->event = malloc(cells * sizeof *r->event);
    if (!r->nearest || !r->stalled || !r->retry || !r->last_goal || !r->tries || !r->fails ||
        !r->held || !r->action || !r->closed || !r->mark || !r->open || !r->standing ||
        !r->steps || !r->queue || !r->member || !r->laden || !r->own_goal || !r->kind ||
        !r->start || !r->at || !r->who || !r->move || !r->via || !r->carrier || !r->seen ||
        !r->keep || !r->node || !r->arrangement || !r->open_nodes[0].first ||
        !r->open_nodes[0].last || !r->open_nodes[1].first || !r->open_nodes[1].last || !r->table ||
        !r->path || !r->script || !r->turn || !r->event) {
        rs_rescue_free(r);
        return -1;
    }
    memset(r->last_goal, -1, n * sizeof *r->last_goal);
    memset(r->who, -1, cells * sizeof *r->who);
    return 0;
}

void rs_rescue_free(rs_rescue *r)
{
    free(r->nearest);
    free(r->stalled);
    free(r->retry);
    free(r->last_goal);
    free(r->tries);
    free(r->fails);
    free(r->held);
    free(r->action);
    free(r->closed);
    free(r->mark);
    free(r->open);
    free(r->standing);
    free(r->steps);
    free(r->queue);
    free(r->member);
    free(r->laden);
    free(r->own_goal);
    free(r->kind);
    free(r->start);
    free(r->at);
    free(r->who);
    free(r->move);
    free(r->via);
    free(r->carrier);
    free(r->seen);
    free(r->keep);
    free(r->node);
    free(r->arrangement);
    for (int q = 0; q < 2; q++) {
        free(r->open_nodes[q].first);
        free(r->open_nodes[q].last);
    }
    free(r->table);
    free(r->path);
    free(r->script);
    free(r->turn);
    free(r->event);
    memset(r, 0, sizeof *r);
}

/* --- arrangements -------------------------------------------------------------------------- */

static uint64_t mix(int32_t cell, uint64_t kind)
{
    uint64_t z = (uint64_t)(cell + 1) * UINT64_C(0x9E3779B97F4A7C15) + kind; /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int may_stand(const rs_rescue *r, int laden, int32_t own_goal, int32_t cell)
{
    return !laden || (!r->standing[cell] && (!r->grid->storage[cell] || cell == own_goal));
}

/* The cell the member would enter from `from`, whoever is there, or -1. */
static int32_t ahead(const rs_rescue *r, int32_t member, int32_t from, int heading)
{
    int32_t to = r->grid->next[from * RS_HEADINGS + heading];
    if (to < 0 || !r->open[to] || !may_stand(r, r->laden[member], r->own_goal[member], to))
        return -1;
    return to;
}

static void place(rs_rescue *r, int32_t member, int32_t cell)
{
    r->at[member] = cell;
    r->who[cell] = member;
    r->hash += mix(cell, r->kind[member]);
}

static void lift(rs_rescue *r, int32_t member)
{
    r->who[r->at[member]] = -1;
    r->hash -= mix(r->at[member], r->kind[member]);
}

static int move(rs_rescue *r, int32_t member, int heading)
{
    if (r->moves == RS_MOVES_MAX)
        return 0;
    int32_t from = r->at[member], to = r->grid->next[from * RS_HEADINGS + heading];
    r->move[r->moves++] =
        (rs_rescue_move){.unit = member, .from = from, .to = to, .heading = heading, .after = -1};
    lift(r, member);
    place(r, member, to);
    return 1;
}

static void take_back(rs_rescue *r)
{
    while (r->moves > 0) {
        const rs_rescue_move *m = &r->move[--r->moves];
        lift(r, m->unit);
        place(r, m->unit, m->from);
    }
}

static void load(rs_rescue *r, const int32_t *cells)
{
    for (int32_t i = 0; i < r->members; i++)
        r->who[r->at[i]] = -1;
    r->hash = 0;
    r->moves = 0;
    for (int32_t i = 0; i < r->members; i++)
        place(r, i, cells[i]);
}

/* --- macros -------------------------------------------------------------------------------- */

static int heading_to(const rs_grid *g, int32_t from, int32_t to)
{
    int heading = 0;
    while (heading < RS_HEADINGS && g->next[from * RS_HEADINGS + heading] != to)
        heading++;
    return heading;
}

/* Empties the cell: its unit moves on, the one in its way too, and so on to the nearest free cell
 * that need not be kept clear; the first unit stays. States are a cell and whether the unit that
 * would come there is loaded. */
static int empty_cell(rs_rescue *r, int32_t cell)
{
    if (++r->chain == 0) {
        memset(r->seen, 0, 2 * (size_t)r->grid->cells * sizeof *r->seen);
        r->chain = 1;
    }
    int32_t head = 0, tail = 0, found = -1, state = 2 * cell + r->laden[r->who[cell]];
    r->seen[state] = r->chain;
    r->via[state] = -1;
    r->carrier[state] = r->who[cell];
    r->queue[tail++] = state;
    while (head < tail && found < 0) {
        state = r->queue[head++];
        r->work++;
        for (int h = 0; h < RS_HEADINGS && found < 0; h++) {
            int32_t to = ahead(r, r->carrier[state], state / 2, h);
            if (to < 0 || r->who[to] == 0)
                continue;
            int32_t there = r->who[to] > 0 ? r->who[to] : r->carrier[state];
            int32_t next = 2 * to + r->laden[there];
            if (r->seen[next] == r->chain)
                continue;
            r->seen[next] = r->chain;
            r->via[next] = state;
            r->carrier[next] = there;
            r->queue[tail++] = next;
            if (r->who[to] < 0 && r->keep[to] != r->clear)
                found = next;
        }
    }
    if (found < 0)
        return 0;
    int32_t length = 0;
    for (state = found; state >= 0; state = r->via[state])
        r->queue[length++] = state / 2;
    for (int32_t end = 0; end < length - 1;) {
        int32_t begin = end + 1;
        while (r->who[r->queue[begin]] < 0)
            begin++;
        int32_t member = r->who[r->queue[begin]];
        for (int32_t k = begin; k > end; k--)
            if (!move(r, member, heading_to(r->grid, r->queue[k], r->queue[k - 1])))
                return 0;
        end = begin;
    }
    return 1;
}

/* A way of the first unit, cell by cell. */
typedef struct {
    int32_t cell, left;
    int corridor, heading; /* corridor: begins with `heading`; else: straight towards the goal */
} rs_walk;

static int walk_on(const rs_rescue *r, rs_walk *w, int first)
{
    int32_t to = -1;
    int heading = w->heading;
    if (w->left == 0 || (!w->corridor && r->steps[w->cell] <= r->target))
        return 0;
    if (w->corridor && first) {
        to = ahead(r, 0, w->cell, heading);
    } else if (w->corridor) {
        int back = (w->heading + 2) & 3;
        for (int h = 0; h < RS_HEADINGS; h++) {
            int32_t next = h == back ? -1 : ahead(r, 0, w->cell, h);
            if (next >= 0 && to >= 0)
                return 0;
            if (next >= 0) {
                to = next;
                heading = h;
            }
        }
    } else {
        for (int h = 0; h < RS_HEADINGS && to < 0; h++) {
            int32_t next = ahead(r, 0, w->cell, h);
            if (next >= 0 && r->steps[next] == r->steps[w->cell] - 1) {
                to = next;
                heading = h;
            }
        }
    }
    if (to < 0)
        return 0;
    w->cell = to;
    w->heading = heading;
    w->left--;
    return 1;
}

static int run(rs_rescue *r, rs_walk way, int32_t at_least)
{
    rs_walk w = way;
    int32_t length = 0;
    for (; walk_on(r, &w, length == 0); length++)
        r->keep[w.cell] = r->clear;
    if (length < at_least)
        return 0;
    w = way;
    int64_t until = r->work + RS_WORK_A_STEP;
    for (int32_t k = 0; k < length; k++) {
        walk_on(r, &w, k == 0);
        /* One cell can always be tried; a long run must not take up several steps' work. */
        if (r->who[w.cell] > 0 && ((k > 0 && r->work > until) || !empty_cell(r, w.cell)))
            return 0;
    }
    w = way;
    for (int32_t k = 0; k < length; k++) {
        walk_on(r, &w, k == 0);
        if (!move(r, 0, w.heading))
            return 0;
    }
    return 1;
}

/* Carries the macro out on the arrangement at hand; 0 when that cannot be done. */
static int apply(rs_rescue *r, int32_t macro)
{
    int32_t here = r->at[0];
    r->work++;
    if (macro >= RS_SINGLE) {
        int32_t member = (macro - RS_SINGLE) / RS_HEADINGS;
        int heading = (macro - RS_SINGLE) % RS_HEADINGS;
        int32_t to = ahead(r, member, r->at[member], heading);
        return to >= 0 && r->who[to] < 0 && move(r, member, heading);
    }
    if (++r->clear == 0) {
        memset(r->keep, 0, (size_t)r->grid->cells * sizeof *r->keep);
        r->clear = 1;
    }
    r->keep[r->goal] = r->clear;
    if (macro == RS_VACATE)
        return r->open[r->goal] && r->who[r->goal] > 0 && empty_cell(r, r->goal);
    if (macro < RS_CORRIDOR)
        return run(r, (rs_walk){here, 1, 1, macro}, 1);
    if (macro < RS_VACATE)
        return run(r, (rs_walk){here, RS_CORRIDOR_MAX, 1, macro - RS_CORRIDOR}, 2);
    int32_t cells = INT32_C(1) << (macro - RS_RUN);
    return run(r, (rs_walk){here, cells, 0, 0}, cells / 2 + 1);
}

/* --- search -------------------------------------------------------------------------------- */

static void enqueue(rs_rescue *r, int32_t n, int which)
{
    rs_rescue_queue *q = &r->open_nodes[which];
    int32_t f = r->node[n].cost +
                RS_STEPS_WEIGHT * r->steps[r->arrangement[(int64_t)n * r->members]];
    if (f >= RS_COSTS)
        f = RS_COSTS - 1;
    r->node[n].next = -1;
    if (q->first[f] < 0)
        q->first[f] = n;
    else
        r->node[q->last[f]].next = n;
    q->last[f] = n;
    q->least = f < q->least ? f : q->least;
}

static int32_t dequeue(rs_rescue *r, int which)
{
    rs_rescue_queue *q = &r->open_nodes[which];
    while (q->least < RS_COSTS && q->first[q->least] < 0)
        q->least++;
    if (q->least == RS_COSTS)
        return -1;
    int32_t n = q->first[q->least];
    q->first[q->least] = r->node[n].next;
    return n;
}

static void add_node(rs_rescue *r, int32_t parent, int32_t macro, int32_t cost)
{
    int32_t n = r->nodes++;
    int single = macro >= RS_SINGLE || (parent >= 0 && r->node[parent].single);
    if (n == 0 || r->steps[r->at[0]] < r->steps[r->arrangement[(int64_t)r->closest * r->members]])
        r->closest = n;
    r->node[n] = (rs_rescue_node){.parent = parent, .macro = macro, .cost = cost,
                                  .single = (int8_t)single};
    memcpy(r->arrangement + (int64_t)n * r->members, r->at,
           (size_t)r->members * sizeof *r->arrangement);
    enqueue(r, n, single);
}

/* Is the arrangement at hand new? It is not from now on. */
static int is_new(rs_rescue *r)
{
    uint64_t hash = r->hash ? r->hash : 1;
    uint64_t at = hash % RS_TABLE;
    while (r->table[at] && r->table[at] != hash)
        at = (at + 1) % RS_TABLE;
    if (r->table[at])
        return 0;
    r->table[at] = hash;
    return 1;
}

/* From both queues by turns: the many arrangements that single moves make must not keep the first
 * unit from going a long way round. */
static int32_t next_node(rs_rescue *r)
{
    r->turn_of = !r->turn_of;
    int32_t n = dequeue(r, r->turn_of);
    return n >= 0 ? n : dequeue(r, !r->turn_of);
}

enum { RS_GOING_ON, RS_FOUND, RS_FAILED };

static int try_macro(rs_rescue *r, int32_t parent, int32_t macro)
{
    int result = RS_GOING_ON;
    if (apply(r, macro) && r->steps[r->at[0]] >= 0 && is_new(r)) {
        if (r->nodes == r->nodes_limit)
            return RS_FAILED;
        int32_t cost = macro >= RS_SINGLE ? RS_COST_SINGLE : RS_COST_RUN;
        add_node(r, parent, macro, r->node[parent].cost + cost);
        if (r->steps[r->at[0]] <= r->target)
            result = RS_FOUND;
    }
    take_back(r);
    return result;
}

static int try_macros(rs_rescue *r, int32_t n)
{
    int result = RS_GOING_ON, runs = RS_RUN_LAST;
    int32_t far = r->steps[r->at[0]];
    while (runs > RS_RUN && (INT32_C(1) << (runs - RS_RUN)) / 2 >= far)
        runs--;
    /* Runs save much when they succeed, and cost much when they fail: half of the work is for
     * going on cell by cell. */
    int with_runs = r->work < r->work_limit / 2;
    for (int m = runs; with_runs && m > RS_RUN && result == RS_GOING_ON; m--)
        result = try_macro(r, n, m);
    for (int m = 0; m <= RS_VACATE && result == RS_GOING_ON; m++)
        if (with_runs || m < RS_CORRIDOR || m == RS_VACATE)
            result = try_macro(r, n, m);
    return result;
}

static int expand(rs_rescue *r, int32_t n)
{
    int result = RS_GOING_ON, singles = r->members <= RS_SINGLES_MAX;
    load(r, r->arrangement + (int64_t)n * r->members);
    r->work += r->members;
    if (!r->node[n].driven) {
        r->node[n].driven = 1;
        result = try_macros(r, n);
        if (!r->node[n].single) {
            if (singles)
                enqueue(r, n, 1);
            return result;
        }
    }
    for (int32_t m = RS_HEADINGS; singles && m < RS_HEADINGS * r->members; m++)
        if (result == RS_GOING_ON)
            result = try_macro(r, n, RS_SINGLE + m);
    return result;
}

static int search(rs_rescue *r)
{
    int64_t until = r->work + RS_WORK_A_STEP;
    int result = RS_GOING_ON;
    while (r->work < until && result == RS_GOING_ON) {
        int32_t n = next_node(r);
        r->exhausted = n < 0;
        result = n < 0 || r->work > r->work_limit ? RS_FAILED : expand(r, n);
    }
    return result;
}

/* --- stages -------------------------------------------------------------------------------- */

static int is_wall(const rs_rescue *r, const rs_rescue_floor *f, int32_t cell)
{
    int32_t unit = f->occupant[(int64_t)r->grid->place_of[cell] * f->stride];
    return f->blocked[cell] || (unit >= 0 && f->frozen && f->frozen[unit]);
}

/* Moves to the goal for the first unit, if all others but the frozen ones made way. */
static void measure(rs_rescue *r, const rs_rescue_floor *f, int laden)
{
    const rs_grid *g = r->grid;
    int32_t head = 0, tail = 0;
    memset(r->steps, -1, (size_t)g->cells * sizeof *r->steps);
    r->steps[r->goal] = 0;
    r->queue[tail++] = r->goal;
    while (head < tail) {
        int32_t to = r->queue[head++];
        if (is_wall(r, f, to) || !may_stand(r, laden, r->goal, to))
            continue;
        for (int h = 0; h < RS_HEADINGS; h++) {
            int32_t from = g->prev[to * RS_HEADINGS + h];
            if (from >= 0 && r->steps[from] < 0) {
                r->steps[from] = r->steps[to] + 1;
                r->queue[tail++] = from;
            }
        }
    }
}

/* Marks the cells around the first unit; 1 when something of them is near enough to the goal. */
static int mark_window(rs_rescue *r, const rs_rescue_floor *f)
{
    const rs_grid *g = r->grid;
    int32_t head = 0, tail = 0, here = f->cell[r->first], near = 0;
    memset(r->mark, 0, (size_t)g->cells);
    r->target = r->steps[here] > RS_NEARER[r->level] ? r->steps[here] - RS_NEARER[r->level] : 0;
    r->mark[here] = 1;
    r->queue[tail++] = here;
    while (head < tail) {
        int32_t cell = r->queue[head++];
        near |= r->steps[cell] >= 0 && r->steps[cell] <= r->target;
        for (int h = 0; h < 2 * RS_HEADINGS; h++) {
            int32_t to = h < RS_HEADINGS ? g->next[cell * RS_HEADINGS + h]
                                         : g->prev[cell * RS_HEADINGS + h - RS_HEADINGS];
            if (to >= 0 && !r->mark[to] && !f->blocked[to] && tail < RS_WINDOW[r->level]) {
                r->mark[to] = 1;
                r->queue[tail++] = to;
            }
        }
    }
    if (r->mark[r->goal])
        r->target = 0;
    if (tail < RS_WINDOW[r->level])
        r->level = RS_LAST;
    return near;
}

static void enlist(rs_rescue *r, const rs_rescue_floor *f, int32_t unit)
{
    int32_t i = r->members++, goal = f->goal[unit];
    r->member[i] = unit;
    r->laden[i] = f->loaded && f->loaded[unit];
    r->own_goal[i] = r->laden[i] && goal >= 0 && r->grid->storage[goal] ? goal : -1;
    r->kind[i] = i == 0 ? 0 : !r->laden[i] ? 1 : (uint64_t)(r->own_goal[i] + 3);
    r->at[i] = r->start[i] = f->cell[unit];
    r->held[unit] = 1;
    r->action[unit] = RS_WAIT;
}

static void give_up(rs_rescue *r)
{
    int32_t u = r->first;
    r->retry[u] = r->now + (RS_RETRY << r->fails[u]);
    if (r->fails[u] < 5)
        r->fails[u]++;
}

static void finish(rs_rescue *r)
{
    for (int32_t i = 0; i < r->members; i++)
        r->held[r->member[i]] = 0;
    r->members = 0;
    r->stage = RS_RESCUE_IDLE;
    r->wanted = -1;
}

static void begin(rs_rescue *r, const rs_rescue_floor *f)
{
    const rs_grid *g = r->grid;
    int32_t u = r->first = r->wanted, here = f->cell[u];
    int laden = f->loaded && f->loaded[u];
    r->wanted = -1;
    r->goal = f->goal[u];
    if (r->goal < 0 || here == r->goal || (f->frozen && f->frozen[u]))
        return;
    memcpy(r->standing, f->standing, (size_t)g->cells);
    measure(r, f, laden);
    if (r->steps[here] < 0) {
        give_up(r);
        return;
    }
    r->level = r->tries[u];
    while (!mark_window(r, f) && r->level < RS_LAST)
        r->level++;
    memset(r->who, -1, (size_t)g->cells * sizeof *r->who);
    r->members = 0;
    enlist(r, f, u);
    for (int32_t c = 0; c < g->cells; c++) {
        int32_t other = f->occupant[(int64_t)r->grid->place_of[c] * f->stride];
        r->open[c] = r->mark[c] && !is_wall(r, f, c);
        if (r->open[c] && other >= 0 && other != u)
            enlist(r, f, other);
    }
    memset(r->table, 0, RS_TABLE * sizeof *r->table);
    for (int q = 0; q < 2; q++) {
        memset(r->open_nodes[q].first, -1, RS_COSTS * sizeof *r->open_nodes[q].first);
        r->open_nodes[q].least = RS_COSTS;
    }
    r->nodes_limit = RS_NODES[r->level];
    if (r->room / r->members < r->nodes_limit)
        r->nodes_limit = (int32_t)(r->room / r->members);
    r->work = r->nodes = 0;
    r->work_limit = RS_WORK[r->level];
    if (r->level == RS_LAST) /* enough to go to the goal cell by cell, once */
        r->work_limit += INT64_C(64) * (r->steps[here] + 1) * g->cells;
    if (g->cells <= RS_SMALL && r->members <= RS_SINGLES_MAX) /* enough for all arrangements */
        r->work_limit += INT64_C(2) * r->nodes_limit * (10 * g->cells + 5 * r->members);
    r->turn_of = 1;
    r->stage = RS_RESCUE_SEARCH;
    load(r, r->start);
    is_new(r);
    add_node(r, -1, 0, 0);
}

/* The moves from the beginning to an arrangement as a script. 0: too many. */
static int write_script(rs_rescue *r, int32_t n)
{
    int32_t length = 0;
    for (; n > 0; n = r->node[n].parent)
        r->path[length++] = r->node[n].macro;
    load(r, r->start);
    r->script_moves = 0;
    while (length > 0) {
        r->moves = 0;
        apply(r, r->path[--length]);
        if (r->script_moves + r->moves > RS_MOVES_MAX)
            return 0;
        memcpy(r->script + r->script_moves, r->move, (size_t)r->moves * sizeof *r->move);
        r->script_moves += r->moves;
    }
    memset(r->mark, 0, (size_t)r->grid->cells);
    memset(r->event, -1, (size_t)r->grid->cells * sizeof *r->event);
    for (int32_t i = 0; i < r->script_moves; i++) {
        rs_rescue_move *m = &r->script[i];
        m->unit = r->member[m->unit];
        m->after = r->event[m->to];
        r->event[m->from] = r->event[m->to] = i;
        r->mark[m->from] = r->mark[m->to] = 1;
    }
    for (int32_t i = 0; i < r->members; i++)
        r->held[r->member[i]] = 0;
    r->script_first = r->idle = 0;
    r->stage = RS_RESCUE_SCRIPT;
    return 1;
}

static int go_on_searching(rs_rescue *r, const rs_rescue_floor *f)
{
    if (f->goal[r->first] != r->goal)
        return 0;
    for (int32_t i = 0; i < r->members; i++)
        if (f->cell[r->member[i]] != r->start[i])
            return 0;
    int result = search(r);
    if (result == RS_GOING_ON || (result == RS_FOUND && write_script(r, r->nodes - 1)))
        return 1;
    if (r->level < RS_LAST) {
        r->tries[r->first] = (uint8_t)(r->level + 1);
        finish(r);
        r->wanted = r->first;
        begin(r, f);
        return 1;
    }
    /* Unless all that can be done is known: nearer is better than not at all. */
    return !r->exhausted && r->closest > 0 && write_script(r, r->closest);
}

/* The next action of every unit of the script; 0 when it is over or cannot be carried out. */
static int follow_script(rs_rescue *r, const rs_rescue_floor *f)
{
    r->passes++;
    r->idle++;
    for (int32_t i = r->script_first; i < r->script_moves; i++) {
        rs_rescue_move *m = &r->script[i];
        int32_t u = m->unit;
        if (m->done) {
            r->script_first += i == r->script_first;
            continue;
        }
        if (m->moving && f->cell[u] == m->to) {
            m->done = 1;
            r->idle = 0;
            r->held[u] = 0;
            r->script_first += i == r->script_first;
            continue;
        }
        m->moving = 0;
        if (r->turn[u] == r->passes)
            continue; /* an earlier move of the unit is to be done */
        r->turn[u] = r->passes;
        r->held[u] = 1;
        r->action[u] = RS_WAIT;
        int laden = f->loaded && f->loaded[u];
        if (f->cell[u] != m->from || f->blocked[m->to] ||
            (laden && (f->standing[m->to] ||
                       (r->grid->storage[m->to] && m->to != f->goal[u]))))
            return 0;
        int turns = (m->heading - f->heading[u]) & 3;
        int32_t there = f->occupant[(int64_t)r->grid->place_of[m->to] * f->stride];
        if (f->frozen && f->frozen[u])
            continue;
        if (turns) {
            r->action[u] = turns == 3 ? RS_TURN_CCW : RS_TURN_CW;
        } else if (there < 0 || (m->after >= 0 && r->script[m->after].moving &&
                                 r->script[m->after].unit == there)) {
            if (m->after < 0 || r->script[m->after].done || r->script[m->after].moving) {
                r->action[u] = RS_FORWARD;
                m->moving = 1;
            }
        }
    }
    return r->script_first < r->script_moves && r->idle <= RS_PATIENCE_SCRIPT &&
           f->goal[r->first] == r->goal;
}

void rs_rescue_step(rs_rescue *r, const rs_rescue_floor *f)
{
    r->now++;
    if (r->stage == RS_RESCUE_IDLE && r->wanted >= 0)
        begin(r, f);
    if (r->stage == RS_RESCUE_SEARCH && !go_on_searching(r, f)) {
        give_up(r);
        finish(r);
    }
    if (r->stage == RS_RESCUE_SCRIPT && !follow_script(r, f)) {
        int32_t u = r->first;
        int carried_out = r->script_first == r->script_moves;
        if (carried_out)
            r->rescues++;
        else
            give_up(r);
        if (r->tries[u] < RS_LAST)
            r->tries[u]++;
        int further = carried_out && r->level == RS_LAST && f->goal[u] == r->goal &&
                      f->cell[u] != r->goal;
        finish(r);
        r->wanted = further ? u : -1;
    }
    for (int32_t c = 0; r->stage != RS_RESCUE_IDLE && c < r->grid->cells; c++)
        r->closed[c] = f->blocked[c] | r->mark[c];
}

void rs_rescue_watch(rs_rescue *r, const rs_rescue_floor *f, const int32_t *distance,
                     const int32_t *overdue)
{
    r->quiet++;
    for (int32_t u = 0; u < r->units; u++) {
        int32_t goal = f->goal[u];
        if (goal != r->last_goal[u] || goal < 0 || f->cell[u] == goal) {
            if (goal != r->last_goal[u])
                r->quiet = 0;
            r->last_goal[u] = goal;
            r->nearest[u] = INT_MAX;
            r->stalled[u] = r->retry[u] = 0;
            r->tries[u] = r->fails[u] = 0;
        } else if (distance[u] < r->nearest[u]) {
            r->nearest[u] = distance[u];
            r->stalled[u] = r->quiet = 0;
        } else if (r->stalled[u] < INT_MAX) {
            r->stalled[u]++;
        }
    }
    if (r->stage != RS_RESCUE_IDLE)
        return;
    int32_t longest = 0;
    for (int32_t u = 0; u < r->units; u++) {
        int32_t stalled = r->stalled[u];
        int stuck = r->quiet >= RS_RESCUE_QUIET ||
                    (stalled >= RS_RESCUE_STALL && overdue[u] >= RS_RESCUE_STALL);
        if (stuck && stalled > longest && r->retry[u] <= r->now && !(f->frozen && f->frozen[u])) {
            longest = stalled;
            r->wanted = u;
        }
    }
}
