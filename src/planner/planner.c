#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "planner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "candidates.h"
#include "crowd.h"
#include "flow.h"
#include "grid.h"
#include "joint.h"
#include "memory.h"
#include "operations.h"
#include "regions.h"
#include "rescue.h"
#include "search.h"
#include "tables.h"
#include "team.h"
#include "window.h"

/* Reading the clock is a system call: look at it after so many operations tested. */
enum { RS_CLOCK_WORK = 2000 };

/* A unit waits beyond measure after these steps and so many times its distance. */
enum { RS_PATIENCE = 200, RS_PATIENCE_FACTOR = 4 };

/* So many units, the first in rank, choose even when the time is up: some always get on. */
enum { RS_ALWAYS_CHOOSE = 16 };

#define RS_PRIORITY_MAX 15.0f

/* A deadline begins to count when so many steps are to spare, and adds at most so much priority. */
static const float RS_SLACK = 64.0f, RS_URGENCY = 4.0f;

/* A share of occupied cells around a unit that is greater by 1 than around its goal would count in
 * rank as so many steps less to go: where those who want into a crowd go first, those who cannot get
 * out fill the place up. Up to a share traffic flows freely and it does not count. */
static const float RS_CROWD_STEPS = 450.0f, RS_CROWD_FREE = 0.5f;

/* Weight of the units in the sum to improve, by their place in the order of priority: the share of
 * units behind, to a power. With little traffic all weigh nearly the same, as the sum of arrival
 * times is what counts. Where it jams the first weigh most and the last nearly nothing: these make
 * room, which lets the others through. */
static const double RS_EVEN_POWER = 0.2, RS_STEEP_POWER = 2.0, RS_LEAST_WEIGHT = 0.02;

/* The power rises between these shares of waiting units, averaged over so many steps. */
static const double RS_JAM_BEGIN = 0.12, RS_JAM_FULL = 0.18, RS_JAM_MEMORY = 20.0;
/* ... or between these shares of the cells with units on them. */
static const double RS_CROWD_BEGIN = 0.28, RS_CROWD_FULL = 0.38;

/* A unit that holds its best operation can gain nothing: look so often for another one. */
enum { RS_PICKS = 3 };

/* Temperature at the start of the improvement, in travel cost. */
static const double RS_HEAT = 1.0;

/* Paths over a long window are planned where there is room, on floors where a goal is left at once
 * and rings may turn; and until more than a share of the units waits. Then operations are the
 * better choice, until fewer wait than another share. */
static const double RS_WINDOW_CROWD = 0.25, RS_WINDOW_LEAVE = 0.13, RS_WINDOW_RETURN = 0.11;

/* Being in a unit's way is taken to cost between these, and one change in ten pushes nobody. */
enum { RS_PENALTY_MIN = 2, RS_PENALTY_MAX = 16, RS_PUSH_NOBODY = 10 };

/* The clock is read after so many nodes of searches in the window. */
enum { RS_CLOCK_NODES = 300 };

/* Steps for which a unit that must wait now is expected to wait. */
enum { RS_FROZEN_STEPS = 5 };

/* Several threads divide the floor anew so many times in each improvement, in this order. */
enum { RS_ROUNDS = 8 };
static const float RS_PHASES[RS_ROUNDS / 2] = {0.0f, 0.5f, 0.25f, 0.75f};

/* Tables made afresh for new prices may take about a quarter of the step's time: so many in a second
 * on a floor of one cell, fewer on larger ones, up to the size that a guided search fills. */
static const double RS_RENEWALS = 2e6;
enum { RS_RENEWAL_CELLS = 4096, RS_ATTEMPTS_A_SECOND = 200000 };

/* What a thread has of its own. */
typedef struct {
    rs_joint joint;   /* the planner's, as seen from one region */
    rs_search search;
    uint64_t random;
    int32_t *unit;    /* [units] those of the region */
    int64_t attempts, accepted;
    double begin;     /* CPU time of the thread when the improvement began */
} rs_member;

struct rs_planner {
    int32_t units;
    rs_grid grid;
    rs_operations ops;
    rs_tables tables;
    rs_joint joint;
    rs_team *team;
    rs_member *member;            /* [members]; 0 works on the joint plan outside improvement too */
    int32_t members;
    uint8_t *region;              /* [units] */
    int32_t *line_units;          /* [max(width, height)] scratch */
    int32_t batch;                /* units whose tables fit into memory together */
    int32_t *slot, *next_slot;    /* [units] tables to the goals, or -1 */
    uint8_t *standing, *blocked;  /* [cells] */
    int32_t *claimed;             /* [places] scratch of the final check, all -1 */
    int32_t *cell;                /* [units] dense ids of this step */
    int32_t *goal;                /* [units] dense ids of this step */
    int32_t *next_goal;           /* [units] */
    int32_t *goal_before;         /* [units] */
    int32_t *waiting;             /* [units] steps since the goal was given */
    int32_t *patience;            /* [units] steps after which the unit has waited too long */
    int32_t *overdue;             /* [units] steps since then, negative before */
    int32_t *distance;            /* [units] travel cost to the goal */
    int32_t *expected;            /* [units] place*4+heading after the last step, or -1 */
    int16_t *left_over;           /* [units] operation that continues the last step's */
    int32_t *order, *scratch;     /* [units] */
    uint64_t *key;                /* [units] */
    rs_flow flow;
    rs_crowd crowd;
    rs_rescue rescue;
    rs_window window;
    int roomy;                    /* 1: the window may be used on this floor */
    int windowed;                 /* 1: it is, in this step */
    uint8_t *keep;                /* [units] goes on with its path in the window */
    double jam;                   /* share of units that wait, fading average */
    rs_planner_stats stats;
    rs_memory memory;
};

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t next_random(rs_member *m)
{
    uint64_t z = (m->random += UINT64_C(0x9E3779B97F4A7C15)); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int members_init(rs_planner *p, const rs_planner_config *config)
{
    rs_memory *memory = &p->memory;
    p->member = rs_memory_zeros(memory, (size_t)config->threads, sizeof *p->member);
    while (p->member && p->members < config->threads) {
        rs_member *m = &p->member[p->members];
        m->random = config->seed + (uint64_t)p->members++ * UINT64_C(0xD1B54A32D192ED03);
        m->unit = rs_memory_zeros(memory, (size_t)p->units, sizeof *m->unit);
        if (rs_search_init(&m->search, &p->joint))
            return -1;
    }
    p->team = rs_team_new(config->threads);
    /* One at a time where there is one thread: a table made for one unit may be gone for the next. */
    p->batch = config->threads > 1 ? p->tables.slots / 2 : 1;
    return !memory->failed && p->team ? 0 : -1;
}

rs_planner *rs_planner_new(const rs_planner_config *config)
{
    if (config->depth < 2 || config->depth > RS_DEPTH_MAX || config->units < 0 ||
        config->threads < 1 || config->threads > RS_THREADS_MAX)
        return NULL;
    rs_planner *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->units = config->units;
    if (rs_grid_init(&p->grid, config->width, config->height, config->exits, config->storage,
                     config->cost))
        goto fail;
    rs_operations_init(&p->ops, config->depth, config->width);
    size_t places = (size_t)config->width * (size_t)config->height;
    size_t cells = (size_t)p->grid.cells, n = (size_t)p->units;
    rs_memory *m = &p->memory;
    p->standing = rs_memory_zeros(m, cells, sizeof *p->standing);
    p->blocked = rs_memory_zeros(m, cells, sizeof *p->blocked);
    p->claimed = rs_memory_ones(m, places, sizeof *p->claimed);
    p->cell = rs_memory_zeros(m, n, sizeof *p->cell);
    p->goal = rs_memory_zeros(m, n, sizeof *p->goal);
    p->next_goal = rs_memory_zeros(m, n, sizeof *p->next_goal);
    p->goal_before = rs_memory_ones(m, n, sizeof *p->goal_before);
    p->waiting = rs_memory_zeros(m, n, sizeof *p->waiting);
    p->patience = rs_memory_zeros(m, n, sizeof *p->patience);
    p->overdue = rs_memory_zeros(m, n, sizeof *p->overdue);
    p->distance = rs_memory_zeros(m, n, sizeof *p->distance);
    p->expected = rs_memory_ones(m, n, sizeof *p->expected);
    p->left_over = rs_memory_zeros(m, n, sizeof *p->left_over);
    p->order = rs_memory_zeros(m, n, sizeof *p->order);
    p->scratch = rs_memory_zeros(m, n, sizeof *p->scratch);
    p->key = rs_memory_zeros(m, n, sizeof *p->key);
    p->slot = rs_memory_zeros(m, n, sizeof *p->slot);
    p->next_slot = rs_memory_zeros(m, n, sizeof *p->next_slot);
    p->region = rs_memory_zeros(m, n, sizeof *p->region);
    p->keep = rs_memory_zeros(m, n, sizeof *p->keep);
    int32_t lines = config->width > config->height ? config->width : config->height;
    p->line_units = rs_memory_zeros(m, (size_t)lines, sizeof *p->line_units);
    if (m->failed)
        goto fail;
    if (rs_tables_init(&p->tables, &p->grid, p->blocked, config->storage ? 2 : 1,
                       (size_t)config->table_memory, config->threads))
        goto fail;
    /* Searches in the window need the tables of all units at once. Lanes would only be detours in it. */
    p->roomy = config->allow_rotation && !config->storage &&
               (double)p->units < RS_WINDOW_CROWD * p->grid.cells &&
               p->units < p->tables.slots / 2;
    if (rs_joint_init(&p->joint, &p->grid, &p->ops, p->units, config->allow_rotation) ||
        members_init(p, config) || rs_flow_init(&p->flow, &p->grid, p->units, !p->roomy) ||
        rs_crowd_init(&p->crowd, &p->grid) || rs_rescue_init(&p->rescue, &p->grid, p->units))
        goto fail;
    if (p->roomy && rs_window_init(&p->window, &p->grid, p->units))
        goto fail;
    return p;
fail:
    rs_planner_free(p);
    return NULL;
}

void rs_planner_free(rs_planner *p)
{
    if (!p)
        return;
    rs_rescue_free(&p->rescue);
    rs_flow_free(&p->flow);
    rs_crowd_free(&p->crowd);
    rs_team_free(p->team);
    for (int32_t k = 0; k < p->members; k++)
        rs_search_free(&p->member[k].search);
    rs_joint_free(&p->joint);
    rs_tables_free(&p->tables);
    rs_grid_free(&p->grid);
    rs_window_free(&p->window);
    rs_memory_free(&p->memory);
    free(p);
}

/* Reads a mask over the places into one over the cells; 1 when it changed. */
static int read_mask(const rs_grid *g, const uint8_t *places, uint8_t *cells)
{
    uint8_t changed = 0;
    for (int32_t c = 0; c < g->cells; c++) {
        uint8_t now = places && places[g->place_of[c]] != 0;
        changed |= now ^ cells[c];
        cells[c] = now;
    }
    return changed;
}

static int32_t cell_at(const rs_grid *g, int32_t place)
{
    return place >= 0 && place < g->width * g->height ? g->id_of[place] : -1;
}

/* Places the units; on an error the floor is left empty. */
static int read_units(rs_planner *p, const rs_planner_input *in, int32_t *unit)
{
    rs_joint *j = &p->joint;
    int error = RS_PLAN_OK;
    int32_t u = 0;
    for (; u < p->units && !error; u++) {
        int32_t cell = cell_at(&p->grid, in->cell[u]);
        int32_t next = in->next_goal ? in->next_goal[u] : -1;
        p->next_goal[u] = next == -1 ? -1 : cell_at(&p->grid, next);
        p->goal[u] = in->goal[u] == -1 ? -1 : cell_at(&p->grid, in->goal[u]);
        if (cell < 0)
            error = RS_PLAN_BAD_CELL;
        else if (in->heading[u] >= RS_HEADINGS)
            error = RS_PLAN_BAD_HEADING;
        else if ((in->goal[u] != -1 && p->goal[u] < 0) || (next != -1 && p->next_goal[u] < 0))
            error = RS_PLAN_BAD_GOAL;
        else if (j->occupant[(int64_t)in->cell[u] * RS_OCCUPANCY_STRIDE] >= 0)
            error = RS_PLAN_SHARED_CELL;
        if (error)
            break;
        p->cell[u] = cell;
        j->place[u] = in->cell[u];
        j->heading[u] = in->heading[u];
        *rs_joint_here(j, u) = u;
    }
    if (error) {
        *unit = u;
        while (u-- > 0)
            *rs_joint_here(j, u) = -1;
    }
    return error;
}

static int32_t find_candidate(const rs_planner *p, int32_t unit, int16_t op)
{
    for (int32_t k = 0; k < p->joint.candidates[unit]; k++)
        if (rs_joint_op(&p->joint, unit, k) == op)
            return k;
    return -1;
}

/* The unit waits, and so do all that counted on its leaving. */
static void make_wait(rs_planner *p, int32_t unit)
{
    rs_joint *j = &p->joint;
    int32_t top = 0;
    if (j->held[unit] >= 0)
        rs_joint_drop(j, unit);
    p->scratch[top++] = unit;
    while (top > 0) {
        int32_t u = p->scratch[--top];
        const int32_t *here = rs_joint_here(j, u);
        for (int d = 1; d <= p->ops.depth; d++) {
            if (here[d] >= 0 && here[d] != u) {
                int32_t other = here[d];
                rs_joint_drop(j, other);
                p->scratch[top++] = other;
            }
        }
        rs_joint_take(j, u, find_candidate(p, u, p->ops.wait));
    }
}

static int is_held(const rs_planner *p, int32_t unit)
{
    return p->rescue.stage != RS_RESCUE_IDLE && p->rescue.held[unit];
}

/* A conflict-free plan to start from: what is left of the last one for the units that are where it
 * wanted them, waiting for the others. */
static void continue_plan(rs_planner *p, const rs_planner_input *in)
{
    rs_joint *j = &p->joint;
    for (int32_t u = 0; u < p->units; u++) {
        int32_t k = -1;
        if (is_held(p, u))
            k = 0;
        else if (p->expected[u] == j->place[u] * RS_HEADINGS + in->heading[u])
            k = find_candidate(p, u, p->left_over[u]);
        int depth;
        if (k >= 0 && rs_joint_clash(j, u, rs_joint_op(j, u, k), &depth) == RS_CLASH_NONE)
            rs_joint_take(j, u, k);
        else
            make_wait(p, u);
    }
}

/* The given priority, and up to RS_URGENCY more the less time is left until the deadline than the
 * way to the goal takes. */
static float priority_of(const rs_planner *p, const rs_planner_input *in, int32_t unit)
{
    float priority = in->priority ? in->priority[unit] : 0.0f;
    if (in->due && p->goal[unit] >= 0) {
        float slack = in->due[unit] - (float)p->distance[unit] / RS_STEP_COST;
        if (slack < RS_SLACK) /* false for NaN */
            priority += RS_URGENCY * (slack > 0.0f ? 1.0f - slack / RS_SLACK : 1.0f);
    }
    return priority > 0.0f ? priority < RS_PRIORITY_MAX ? priority : RS_PRIORITY_MAX : 0.0f;
}

/* Steps from the unit's goal to the end of its task. */
static int32_t later_of(const rs_planner_input *in, int32_t unit)
{
    float steps = in->later ? in->later[unit] : 0.0f;
    return steps > 0.0f ? steps < 0x8000 ? (int32_t)steps : 0x8000 : 0;
}

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Steps of the unit's way as they count in rank: more for those who want into a crowd, less for
 * those who want out of one. */
static int32_t rank_steps(const rs_planner *p, int32_t unit, int32_t steps)
{
    float here = rs_crowd_near(&p->crowd, p->cell[unit]);
    float there = rs_crowd_near(&p->crowd, p->goal[unit]);
    float in = (there > RS_CROWD_FREE ? there : RS_CROWD_FREE) -
               (here > RS_CROWD_FREE ? here : RS_CROWD_FREE);
    int32_t sum = steps + (int32_t)(RS_CROWD_STEPS * (1.0f + in));
    return sum < 0xFFFF ? sum : 0xFFFF;
}

/* Units that have waited beyond all measure go first, longest first, so that none starves. Of the
 * others the greater priority goes first, then the one nearer to the end of its task; units
 * at rest on their goals make room. */
static void rank_units(rs_planner *p, const rs_planner_input *in)
{
    rs_crowd_count(&p->crowd, p->joint.occupant, RS_OCCUPANCY_STRIDE);
    for (int32_t u = 0; u < p->units; u++) {
        int32_t steps = p->distance[u] / RS_STEP_COST + later_of(in, u);
        if (p->goal[u] != p->goal_before[u] || p->goal[u] == p->cell[u] || p->goal[u] < 0) {
            p->waiting[u] = 0;
            p->patience[u] = RS_PATIENCE + RS_PATIENCE_FACTOR * (steps < 0x1000 ? steps : 0x1000);
        } else if (p->waiting[u] < 0xFFFF) {
            p->waiting[u]++;
        }
        p->goal_before[u] = p->goal[u];
        p->overdue[u] = p->waiting[u] - p->patience[u];
        uint64_t key = 0, level = (uint64_t)(priority_of(p, in, u) * 256.0f);
        if (p->overdue[u] > 0)
            key = (UINT64_C(0x10000) | (uint64_t)p->waiting[u]) << 46;
        else if (p->goal[u] == p->cell[u])
            key = level << 36;
        else if (p->goal[u] >= 0)
            key = level << 36 | (uint64_t)(0xFFFF - rank_steps(p, u, steps)) << 20;
        p->key[u] = key | (uint64_t)(0xFFFFF - u);
    }
    qsort(p->key, (size_t)p->units, sizeof *p->key, descending);
    for (int32_t i = 0; i < p->units; i++) {
        int32_t u = 0xFFFFF - (int32_t)(p->key[i] & 0xFFFFF);
        p->order[i] = u;
        p->joint.rank[u] = i;
    }
}

/* A unit that is held has one thing to do, and may always wait. Returns how many. */
static int32_t list_held(const rs_planner *p, int32_t unit, int16_t *op, uint16_t *cost)
{
    int action = p->rescue.action[unit];
    op[0] = p->ops.once[action];
    op[1] = p->ops.wait;
    cost[0] = 0;
    cost[1] = UINT16_MAX;
    return action == RS_WAIT ? 1 : 2;
}

/* A part of the units, whose candidates the threads list together. */
typedef struct {
    rs_planner *p;
    const rs_planner_input *in;
    int32_t first, end;
} rs_listing;

typedef struct {
    rs_listing listing;
    const int32_t *slot, *from; /* [units] */
} rs_filling;

static int is_loaded(const rs_planner_input *in, int32_t unit)
{
    return in->loaded && in->loaded[unit];
}

/* Fills the tables of `slot` as far as the units' cells in `from` need it, each by one thread. */
static void fill_tables(void *what, int32_t member)
{
    const rs_filling *f = what;
    rs_planner *p = f->listing.p;
    for (int32_t u = f->listing.first; u < f->listing.end; u++)
        if (f->slot[u] >= 0 && f->slot[u] % p->members == member)
            rs_tables_fill(&p->tables, member, f->slot[u], f->from[u]);
}

static void list_some(void *what, int32_t member)
{
    const rs_listing *l = what;
    rs_planner *p = l->p;
    rs_joint *j = &p->joint;
    for (int32_t u = l->first + member; u < l->end; u += p->members) {
        rs_situation s = {.cell = p->cell[u],
                          .heading = l->in->heading[u],
                          .goal = p->goal[u],
                          .loaded = is_loaded(l->in, u),
                          .frozen = l->in->frozen && l->in->frozen[u],
                          .next_goal = -1,
                          .standing = p->standing,
                          .blocked = p->rescue.stage == RS_RESCUE_IDLE ? p->blocked
                                                                       : p->rescue.closed};
        if (s.goal >= 0)
            s.table = rs_tables_at(&p->tables, p->slot[u]);
        if (p->next_slot[u] >= 0) {
            s.next_goal = p->next_goal[u];
            s.next_table = rs_tables_at(&p->tables, p->next_slot[u]);
        }
        if (p->windowed) {
            p->window.unit[u].at = s;
            continue;
        }
        int16_t *op = j->op + (int64_t)u * p->ops.count;
        uint16_t *cost = j->cost + (int64_t)u * p->ops.count;
        j->candidates[u] = is_held(p, u) ? list_held(p, u, op, cost)
                                         : rs_candidates(&p->grid, &p->ops, &s, op, cost);
    }
}

static int32_t renewals_of(const rs_planner *p, const rs_planner_input *in)
{
    double seconds = in->iterations < 0 ? in->budget
                                        : (double)in->iterations / RS_ATTEMPTS_A_SECOND;
    double cells = p->grid.cells < RS_RENEWAL_CELLS ? p->grid.cells : RS_RENEWAL_CELLS;
    double renewals = RS_RENEWALS * seconds / cells;
    return renewals < 1.0 ? 1 : renewals < INT32_MAX ? (int32_t)renewals : INT32_MAX;
}

/* Lists what every unit can do. */
static void list_candidates(rs_planner *p, const rs_planner_input *in)
{
    rs_listing l = {.p = p, .in = in};
    p->tables.renewals = renewals_of(p, in);
    int32_t near = (p->windowed ? RS_WINDOW : p->ops.depth) * RS_STEP_COST;
    for (; l.first < p->units; l.first = l.end) {
        l.end = p->units - l.first < p->batch ? p->units : l.first + p->batch;
        for (int32_t u = l.first; u < l.end; u++)
            p->slot[u] = p->goal[u] < 0 ? -1
                                        : rs_tables_slot(&p->tables, p->goal[u], is_loaded(in, u));
        rs_team_run(p->team, fill_tables, &(rs_filling){l, p->slot, p->cell});
        for (int32_t u = l.first; u < l.end; u++) {
            p->distance[u] = 0;
            p->next_slot[u] = -1;
            if (p->goal[u] < 0)
                continue;
            rs_table table = rs_tables_at(&p->tables, p->slot[u]);
            p->distance[u] = rs_distance(&table, p->cell[u], in->heading[u]);
            if (p->next_goal[u] >= 0 && p->next_goal[u] != p->goal[u] &&
                p->distance[u] <= near)
                p->next_slot[u] =
                    rs_tables_slot(&p->tables, p->next_goal[u], is_loaded(in, u));
        }
        rs_team_run(p->team, fill_tables, &(rs_filling){l, p->next_slot, p->goal});
        rs_team_run(p->team, list_some, &l);
    }
}

static void weigh_units(rs_planner *p, const rs_planner_input *in)
{
    double jam = (p->jam - RS_JAM_BEGIN) / (RS_JAM_FULL - RS_JAM_BEGIN);
    double crowd = (double)p->units / (p->grid.cells > 0 ? p->grid.cells : 1);
    crowd = (crowd - RS_CROWD_BEGIN) / (RS_CROWD_FULL - RS_CROWD_BEGIN);
    jam = jam > crowd ? jam : crowd;
    jam = jam < 0.0 ? 0.0 : jam > 1.0 ? 1.0 : jam;
    double power = RS_EVEN_POWER + (RS_STEEP_POWER - RS_EVEN_POWER) * jam;
    for (int32_t u = 0; u < p->units; u++) {
        double behind = 1.0 - (double)p->joint.rank[u] / (p->units + 1);
        p->joint.weight[u] =
            (1.0 + (double)priority_of(p, in, u)) * (RS_LEAST_WEIGHT + pow(behind, power));
    }
}

/* A part of the improvement, which the threads do together: from this share of it to that. */
typedef struct {
    rs_planner *p;
    const rs_planner_input *in;
    double span; /* CPU seconds of each thread for all of it */
    double from, to;
    int32_t regions; /* a thread for each; 1: the caller's alone, on the whole floor */
} rs_round;

static int32_t random_unit(rs_member *m, int32_t units)
{
    int32_t i = (int32_t)((next_random(m) >> 33) % (uint64_t)units);
    return m->joint.region ? m->unit[i] : i;
}

/* Simulated annealing over the units' operations: now and then a change for the worse is taken, the
 * less so the more of the time is gone. */
static void improve_some(void *what, int32_t member)
{
    const rs_round *r = what;
    rs_planner *p = r->p;
    rs_member *m = &p->member[member];
    const rs_planner_input *in = r->in;
    int32_t units = member || r->regions > 1 ? 0 : p->units;
    m->joint = p->joint;
    m->joint.region = r->regions > 1 ? p->region : NULL;
    m->joint.mine = (uint8_t)member;
    m->search.joint = &m->joint;
    for (int32_t u = 0; r->regions > 1 && u < p->units; u++)
        if (p->region[u] == member)
            m->unit[units++] = u;
    double heat = RS_HEAT;
    if (r->from <= 0.0)
        m->begin = in->iterations < 0 ? cpu_now() : 0.0;
    int64_t last = (int64_t)((double)in->iterations * r->to);
    int64_t look = m->search.work;
    int64_t k = (int64_t)((double)in->iterations * r->from) + member;
    for (; units > 0; k += r->regions) {
        if (in->iterations >= 0) {
            if (k >= last)
                break;
            heat = RS_HEAT * (1.0 - (double)k / (double)in->iterations);
        } else if (m->search.work >= look) {
            double gone = cpu_now() - m->begin;
            look = m->search.work + RS_CLOCK_WORK;
            if (gone >= r->span * r->to)
                break;
            heat = RS_HEAT * (1.0 - gone / r->span);
        }
        int32_t u = random_unit(m, units);
        for (int i = 0; i < RS_PICKS && !rs_joint_cost(&p->joint, u, p->joint.held[u]); i++)
            u = random_unit(m, units);
        double chance = (double)((next_random(m) >> 11) + 1) * 0x1p-53;
        /* The first of all only takes what is better: it is on its way in bounded time. */
        double slack = p->joint.rank[u] == 0 ? -0.5 : -heat * log(chance);
        m->accepted += rs_search_improve(&m->search, u, slack);
        m->attempts++;
    }
}

static void improve(rs_planner *p, const rs_planner_input *in, double started)
{
    rs_round r = {.p = p, .in = in, .regions = 1};
    r.span = in->iterations < 0 ? started + in->budget - cpu_now() : 0.0;
    for (int32_t k = 0; k < p->members; k++)
        p->member[k].attempts = p->member[k].accepted = 0;
    int rounds = p->members > 1 ? RS_ROUNDS : 1;
    for (int round = 0; round < rounds; round++) {
        r.from = (double)round / rounds;
        r.to = (double)(round + 1) / rounds;
        if (p->members > 1)
            r.regions =
                rs_regions(&p->grid, p->units, p->cell, round % 2, RS_PHASES[round / 2],
                           p->members, p->ops.depth, p->region, p->line_units);
        rs_team_run(p->team, improve_some, &r);
    }
    p->member[0].search.joint = &p->joint;
    for (int32_t k = 0; k < p->members; k++) {
        p->stats.attempts += p->member[k].attempts;
        p->stats.accepted += p->member[k].accepted;
    }
}

/* Starts the window's plan with what is left of the last one. */
static void begin_window(rs_planner *p, const rs_planner_input *in, int went_on)
{
    rs_window *w = &p->window;
    for (int32_t u = 0; u < p->units; u++) {
        int32_t now = p->cell[u] * RS_HEADINGS + in->heading[u];
        int rests = p->goal[u] < 0 || p->goal[u] == p->cell[u];
        w->unit[u].weight = rests ? RS_LEAST_WEIGHT : p->joint.weight[u]; /* it makes room */
        w->unit[u].fixed = is_held(p, u);
        w->unit[u].bound_to = w->unit[u].at.frozen ? RS_FROZEN_STEPS : 0;
        p->keep[u] = went_on && p->expected[u] == p->joint.place[u] * RS_HEADINGS + in->heading[u];
        if (w->unit[u].fixed) {
            int32_t *path = rs_window_path(w, u);
            int action = p->rescue.action[u];
            int turned = action == RS_TURN_CW ? 1 : action == RS_TURN_CCW ? 3 : 0;
            int32_t to = action == RS_FORWARD ? p->grid.next[now] : p->cell[u];
            for (int t = 0; t < RS_WINDOW_STATES; t++)
                path[t] = t ? to * RS_HEADINGS + ((in->heading[u] + turned) & 3) : now;
            p->keep[u] = to >= 0;
        }
    }
    rs_window_begin(w, p->keep);
}

/* Better paths for the units that have not their best, the first in rank first, then at random by
 * simulated annealing. */
static void improve_window(rs_planner *p, const rs_planner_input *in, double started)
{
    rs_window *w = &p->window;
    rs_member *m = &p->member[0];
    int limited = in->iterations < 0 && in->budget > 0.0;
    int64_t attempts = 0, look = w->work;
    for (int32_t i = 0; i < p->units; i++) {
        if (limited && i >= RS_ALWAYS_CHOOSE && w->work >= look) {
            if (cpu_now() - started >= in->budget)
                break;
            look = w->work + RS_CLOCK_NODES;
        }
        int32_t u = p->order[i];
        if (w->late_place[u] >= 0 && !rs_window_improve(w, u, RS_PENALTY_MIN, 0.0))
            rs_window_improve(w, u, -1, 0.0);
    }
    double heat = RS_HEAT, begin = in->iterations < 0 ? cpu_now() : 0.0;
    double span = started + in->budget - begin;
    for (look = w->work; w->lates > 0; attempts++) {
        if (in->iterations >= 0) {
            if (attempts >= in->iterations)
                break;
            heat = RS_HEAT * (1.0 - (double)attempts / (double)in->iterations);
        } else if (w->work >= look) {
            double gone = cpu_now() - begin;
            look = w->work + RS_CLOCK_NODES;
            if (gone >= span)
                break;
            heat = RS_HEAT * (1.0 - gone / span);
        }
        int32_t u = w->late[(next_random(m) >> 33) % (uint64_t)w->lates];
        double chance = (double)((next_random(m) >> 11) + 1) * 0x1p-53;
        uint64_t dice = next_random(m) >> 33;
        int32_t penalty = dice % RS_PUSH_NOBODY == 0 ? -1
                          : RS_PENALTY_MIN + (int32_t)(dice / RS_PUSH_NOBODY %
                                                       (RS_PENALTY_MAX - RS_PENALTY_MIN));
        double slack = p->joint.rank[u] == 0 ? -0.5 : -heat * log(chance);
        p->stats.accepted += rs_window_improve(w, u, penalty, slack);
    }
    p->stats.attempts = attempts;
}

static void write_actions(rs_planner *p, uint8_t *action)
{
    rs_joint *j = &p->joint;
    for (int32_t u = 0; u < p->units; u++)
        action[u] = p->windowed ? rs_window_action(&p->window, u)
                                : p->ops.first[rs_joint_op(j, u, j->held[u])];
    if (!rs_joint_safe(j, action, p->claimed)) {
        p->stats.rejected++;
        memset(action, RS_WAIT, (size_t)p->units);
    }
    for (int32_t u = 0; u < p->units; u++) {
        int turned = action[u] == RS_TURN_CW ? 1 : action[u] == RS_TURN_CCW ? 3 : 0;
        int32_t ahead = j->heading[u] == RS_EAST    ? 1
                        : j->heading[u] == RS_SOUTH ? p->grid.width
                        : j->heading[u] == RS_WEST  ? -1
                                                    : -p->grid.width;
        int32_t place = j->place[u] + (action[u] == RS_FORWARD ? ahead : 0);
        p->expected[u] = place * RS_HEADINGS + ((j->heading[u] + turned) & 3);
        p->left_over[u] = p->windowed ? p->ops.wait : p->ops.tail[rs_joint_op(j, u, j->held[u])];
        p->jam += ((action[u] == RS_WAIT) - p->jam) / (RS_JAM_MEMORY * p->units);
        if (action[u] == RS_FORWARD)
            rs_flow_move(&p->flow, p->cell[u], j->heading[u]);
    }
    rs_flow_step(&p->flow, &p->tables);
}

/* All units choose operations, the first in rank first; then the sum is improved. */
static void choose_operations(rs_planner *p, const rs_planner_input *in, double started)
{
    int limited = in->iterations < 0 && in->budget > 0.0;
    rs_search *yielding = &p->member[0].search;
    int64_t look = 0;
    continue_plan(p, in);
    for (int32_t i = 0; i < p->units; i++) {
        if (limited && i >= RS_ALWAYS_CHOOSE && yielding->work >= look) {
            if (cpu_now() - started >= in->budget)
                break;
            look = yielding->work + RS_CLOCK_WORK;
        }
        if (p->joint.held[p->order[i]] > 0)
            rs_search_yield(yielding, p->order[i]);
    }
    improve(p, in, started);
}

int rs_planner_step(rs_planner *p, const rs_planner_input *in, uint8_t *action, int32_t *unit)
{
    double started = cpu_now();
    rs_joint *j = &p->joint;
    int error = read_units(p, in, unit);
    if (error)
        return error;
    p->stats.attempts = p->stats.accepted = 0;
    read_mask(&p->grid, in->standing, p->standing);
    if (read_mask(&p->grid, in->blocked, p->blocked))
        rs_tables_forget(&p->tables);
    rs_rescue_floor floor = {.cell = p->cell, .goal = p->goal, .heading = in->heading,
                             .loaded = in->loaded, .frozen = in->frozen,
                             .standing = p->standing, .blocked = p->blocked,
                             .occupant = j->occupant, .stride = RS_OCCUPANCY_STRIDE};
    rs_rescue_step(&p->rescue, &floor);
    int before = p->windowed;
    p->windowed = p->roomy && p->jam < (before ? RS_WINDOW_LEAVE : RS_WINDOW_RETURN);
    list_candidates(p, in);
    rs_rescue_watch(&p->rescue, &floor, p->distance, p->overdue);
    rank_units(p, in);
    weigh_units(p, in);
    if (p->windowed) {
        begin_window(p, in, before);
        improve_window(p, in, started);
    } else {
        choose_operations(p, in, started);
    }
    write_actions(p, action);
    if (p->windowed)
        rs_window_shift(&p->window);
    for (int32_t u = 0; u < p->units; u++) {
        if (j->held[u] >= 0)
            rs_joint_drop(j, u);
        *rs_joint_here(j, u) = -1;
    }
    p->stats.tables = (int64_t)rs_tables_searches(&p->tables);
    p->stats.rescues = p->rescue.rescues;
    p->stats.cpu_seconds = cpu_now() - started;
    return RS_PLAN_OK;
}

int rs_planner_travel(rs_planner *p, int32_t queries, const int32_t *cell, const uint8_t *heading,
                      const int32_t *goal, float *steps, int32_t *query)
{
    for (int32_t i = 0; i < queries; i++) {
        int32_t from = cell_at(&p->grid, cell[i]), to = cell_at(&p->grid, goal[i]);
        *query = i;
        if (from < 0)
            return RS_PLAN_BAD_CELL;
        if (heading[i] >= RS_HEADINGS)
            return RS_PLAN_BAD_HEADING;
        if (to < 0)
            return RS_PLAN_BAD_GOAL;
        rs_table table = rs_tables_get(&p->tables, to, 0, from);
        int32_t cost = rs_distance(&table, from, heading[i]);
        steps[i] = cost >= RS_FAR ? -1.0f : (float)cost / RS_STEP_COST;
    }
    return RS_PLAN_OK;
}

void rs_planner_get_stats(const rs_planner *p, rs_planner_stats *stats)
{
    *stats = p->stats;
}
