#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "loop/span.h"

enum { UNITS = 6, W = 9, H = 7, CELLS = W * H, PODS = 5, CAPACITY = 8, MOST = 64 };
enum { ACT_LIFT = 4, ACT_FACE = 8 };

typedef struct {
    rs_drive_fleet fleet;
    rs_checker checker;
    rs_tally tally;
    rs_span span;
    rs_tick tick;
    rs_planner *planner;
    rs_execution *execution;
    rs_execution_view view;
    void *memory;
    uint8_t kind[CELLS], closed[CELLS], pod_face[PODS];
    int32_t pod_at[CELLS], pod_cell[PODS];
    uint8_t ring_action[UNITS * RS_DRIVE_RING];
    int32_t ring_cell[UNITS * RS_DRIVE_RING];
    double ring_delay[UNITS * RS_DRIVE_RING];
    uint32_t epoch[UNITS], done[UNITS], released[UNITS], end[UNITS], first[UNITS];
    int32_t cell[UNITS], base_cell[UNITS], load_id[UNITS];
    uint8_t heading[UNITS], base_heading[UNITS], load[UNITS], stopped[UNITS], dead[UNITS];
    uint8_t contact[UNITS], held[UNITS], fault[UNITS], status[UNITS];
    double offset[UNITS], v[UNITS], progress[UNITS], charge[UNITS], load_mass[UNITS];
    float x[UNITS], y[UNITS], yaw[UNITS], speed[UNITS], battery[UNITS];
    int32_t seen_cell[UNITS], seen_id[UNITS], at[CELLS], under[CELLS], carrier[PODS], next[UNITS];
    double seen_x[UNITS], seen_y[UNITS], seen_yaw[UNITS], stamp[UNITS];
    uint8_t seen_load[UNITS];
    rs_checker_move move[2 * UNITS];
    int64_t found[MOST], entered[CELLS];
    int32_t tally_cell[UNITS];
    float tally_speed[UNITS];
    uint8_t tally_load[UNITS], tally_status[UNITS];
    uint8_t known_load[UNITS], known_status[UNITS], verdict[UNITS], action[UNITS * CAPACITY];
    int32_t known_id[UNITS], number[UNITS], unit[UNITS], origin[UNITS], count[UNITS], taken[UNITS];
    int32_t path[UNITS * CAPACITY];
    uint8_t exits[CELLS], phase[UNITS], operation[UNITS], operating[UNITS], stands[UNITS];
    uint8_t halted[UNITS], fenced[UNITS], standing[CELLS], blocked[CELLS], wanted[CELLS];
    uint8_t facing[UNITS], loaded[UNITS], frozen[UNITS], chosen[UNITS], joint[UNITS];
    int32_t goal[UNITS], member[UNITS], arrived[UNITS], end_cell[UNITS], aim[UNITS];
    float priority[UNITS], weight[UNITS], due[UNITS];
    double deadline[UNITS];
} site_t;

static uint32_t state = 7;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(state >> 8) * below) >> 24);
}

static void set_up(site_t *s, double late_share)
{
    memset(s, 0, sizeof *s);
    for (int32_t c = 0; c < CELLS; c++) {
        int32_t row = c / W, column = c % W;
        s->kind[c] = row > 0 && row < H - 1 && column > 0 && column < W - 1;
        s->pod_at[c] = s->at[c] = s->under[c] = -1;
    }
    for (int32_t p = 0; p < PODS; p++) {
        s->pod_cell[p] = 2 * W + 1 + p;
        s->pod_at[s->pod_cell[p]] = p;
        s->carrier[p] = -1;
    }
    for (int32_t u = 0; u < UNITS; u++) {
        s->number[u] = u;
        s->cell[u] = s->base_cell[u] = 4 * W + 1 + u;
        s->charge[u] = 1.0;
        s->load_id[u] = s->known_id[u] = s->seen_cell[u] = s->next[u] = s->tally_cell[u] = -1;
        s->end[u] = UINT32_MAX;
    }
    s->fleet = (rs_drive_fleet){
        .n = UNITS, .width = W, .height = H, .pitch = 1.0, .max_speed = 1.5, .acceleration = 1.0,
        .turn_time = 2.5, .lift_time = 2.2, .wheel_arm = 0.35, .battery_wh = 1e6,
        .idle_power = 40.0, .drive_power = 250.0, .charge_power = 3000.0, .kind = s->kind,
        .closed = s->closed, .pod_at = s->pod_at, .pod_face = s->pod_face,
        .ring_action = s->ring_action, .ring_cell = s->ring_cell, .ring_delay = s->ring_delay, .epoch = s->epoch,
        .done = s->done, .released = s->released, .cell = s->cell, .heading = s->heading,
        .base_cell = s->base_cell, .base_heading = s->base_heading, .offset = s->offset,
        .v = s->v, .progress = s->progress, .charge = s->charge, .load_mass = s->load_mass,
        .load = s->load, .load_id = s->load_id, .stopped = s->stopped, .dead = s->dead,
        .contact = s->contact, .held = s->held, .fault = s->fault, .x = s->x, .y = s->y,
        .yaw = s->yaw, .speed = s->speed, .battery = s->battery, .status = s->status,
    };
    rs_drive_step(&s->fleet, 0.0);
    s->memory = malloc(rs_execution_bytes(UNITS, W, H, CAPACITY));
    s->execution = rs_execution_init(s->memory, UNITS, W, H, CAPACITY, CAPACITY);
    rs_execution_get_view(s->execution, &s->view);
    for (int32_t u = 0; u < UNITS; u++)
        s->stamp[u] = 0.0;
    CHECK_EQUAL(rs_execution_reset(s->execution, 0, s->cell, s->heading, s->stamp), -1);
    s->checker = (rs_checker){
        .units = UNITS, .pods = PODS, .width = W, .height = H, .most = MOST, .pitch = 1.0,
        .unit_half = 0.35, .pod_half = 0.45, .tolerance = 0.005, .kind = s->kind,
        .closed = s->closed, .cell = s->seen_cell, .x = s->seen_x, .y = s->seen_y,
        .yaw = s->seen_yaw, .load = s->seen_load, .load_id = s->seen_id, .at = s->at,
        .pod_at = s->under, .carrier = s->carrier, .next = s->next, .move = s->move,
        .found = s->found,
    };
    s->tally = (rs_tally){
        .units = UNITS, .cells = CELLS, .entered = s->entered, .cell = s->tally_cell,
        .speed = s->tally_speed, .load = s->tally_load, .status = s->tally_status,
    };
    s->span = (rs_span){
        .fleet = &s->fleet, .execution = s->execution, .tick = &s->tick, .checker = &s->checker,
        .tally = &s->tally, .end = s->end, .load = s->known_load, .load_id = s->known_id,
        .status = s->known_status, .verdict = s->verdict, .pod_cell = s->pod_cell, .step = 0.1,
        .again = 0.5, .late_share = late_share, .late_seconds = 2.0, .seed = 11,
        .number = s->number, .stamp = s->stamp, .unit = s->unit, .first = s->first,
        .origin = s->origin, .count = s->count, .taken = s->taken, .action = s->action,
        .cell = s->path,
    };
    s->tick = (rs_tick){.next = INFINITY};
}

/* Every unit is on its way from its start. */
static void set_up_traffic(site_t *s)
{
    static const int32_t OFFSET[4] = {1, W, -1, -W};
    for (int32_t c = 0; c < CELLS; c++)
        for (int d = 0; d < 4; d++)
            s->exits[c] |= s->kind[c] && s->kind[c + OFFSET[d]] ? (uint8_t)(1 << d) : 0;
    for (int32_t u = 0; u < UNITS; u++) {
        s->member[u] = u;
        s->phase[u] = RS_ERRAND_GOING;
        s->goal[u] = 5 * W - 2 - u;
    }
    s->planner = rs_planner_new(&(rs_planner_config){
        .width = W, .height = H, .units = UNITS, .exits = s->exits, .depth = 3, .seed = 3,
        .table_memory = 1 << 20, .threads = 1});
    s->tick = (rs_tick){
        .planner = s->planner, .execution = s->execution, .units = UNITS, .cells = CELLS,
        .members = UNITS, .limit = CAPACITY - 2, .iterations = 20, .period = 0.4, .move = 0.5,
        .silence = 10.0,
        .under_way = 8.0, .member = s->member, .phase = s->phase, .operation = s->operation,
        .operating = s->operating, .stands = s->stands, .halted = s->halted, .fenced = s->fenced,
        .load = s->known_load, .status = s->known_status, .goal = s->goal,
        .priority = s->priority, .standing = s->standing, .blocked = s->blocked,
        .arrived = s->arrived, .wanted = s->wanted, .cell = s->end_cell, .aim = s->aim,
        .heading = s->facing, .loaded = s->loaded, .frozen = s->frozen, .chosen = s->chosen,
        .action = s->joint, .weight = s->weight, .due = s->due, .deadline = s->deadline,
    };
}

/* A joint step that the floor and the graph allow; units whose queue is full wait. */
static void plan(site_t *s)
{
    static const int32_t OFFSET[4] = {1, W, -1, -W};
    uint8_t action[UNITS];
    for (int32_t u = 0; u < UNITS; u++) {
        action[u] = RS_ACT_WAIT;
        if (s->view.planned[u] - s->view.done[u] < CAPACITY - 2)
            action[u] = (uint8_t)draw(4);
        int32_t ahead = s->view.end_cell[u] + OFFSET[s->view.end_heading[u]];
        if (action[u] == RS_ACT_FORWARD && (!s->kind[ahead] || ahead / W == 2))
            action[u] = RS_ACT_WAIT;
    }
    int32_t unit;
    while (rs_execution_commit(s->execution, action, &unit) != RS_COMMIT_OK)
        action[unit] = RS_ACT_WAIT;
}

/* Whatever is planned, and however late units are, nobody meets and every report is taken. */
static void random_plans_are_driven_without_conflict(double late_share)
{
    site_t *s = malloc(sizeof *s);
    set_up(s, late_share);
    int64_t tick = 0, forwards = 0;
    for (int round = 0; round < 3000; round++) {
        plan(s);
        int32_t ran, wanted = 1 + (int32_t)draw(6);
        CHECK_EQUAL(rs_span_run(&s->span, tick, wanted, 0, &ran), 0);
        CHECK_EQUAL(ran, wanted);
        tick += ran;
        for (int32_t u = 0; u < UNITS; u++) {
            CHECK_EQUAL(s->view.done[u], s->done[u]);
            CHECK_EQUAL(s->view.cell[u], s->cell[u]);
        }
    }
    for (int32_t c = 0; c < CELLS; c++)
        forwards += s->entered[c];
    CHECK(forwards > 500);
    CHECK(s->tally.active > 0.0 && s->tally.active < s->tally.all);
    CHECK((s->tally.all - tick * 0.1 * UNITS) * (s->tally.all - tick * 0.1 * UNITS) < 1e-12);
    free(s->memory);
    free(s);
}

/* The step in which something happens is the last one. */
static void what_has_to_be_told_ends_a_span(void)
{
    site_t *s = malloc(sizeof *s);
    set_up(s, 0.0);
    int32_t ran;
    CHECK_EQUAL(rs_execution_append(s->execution, 2, ACT_FACE), RS_COMMIT_OK); /* carries nothing */
    CHECK_EQUAL(rs_span_run(&s->span, 0, 50, 0, &ran), RS_SPAN_FAILED);
    CHECK_EQUAL(s->fault[2], 8);
    int64_t tick = ran;
    CHECK_EQUAL(rs_execution_append(s->execution, 3, ACT_LIFT), RS_COMMIT_OK);
    s->pod_at[s->cell[3]] = 4;
    s->pod_at[s->pod_cell[4]] = -1;
    s->pod_cell[4] = s->cell[3];
    s->end[3] = 1;
    CHECK_EQUAL(rs_span_run(&s->span, tick, 50, 0, &ran), RS_SPAN_ENDED);
    CHECK_EQUAL(ran, 22); /* 2.2 s */
    CHECK_EQUAL(s->known_load[3], RS_DRIVE_POD);
    CHECK_EQUAL(s->known_id[3], 4);
    tick += ran;
    s->end[3] = UINT32_MAX;
    s->stopped[5] = 1;
    CHECK_EQUAL(rs_span_run(&s->span, tick, 50, 0, &ran), RS_SPAN_CHANGED);
    CHECK_EQUAL(ran, 1);
    tick += ran;
    s->pod_cell[4] = -1;
    s->pod_cell[0] = s->cell[3] + 1; /* a pod is pushed into the loaded unit's neighbour's cell */
    CHECK_EQUAL(rs_span_run(&s->span, tick, 50, 0, &ran), 0);
    tick += ran;
    s->pod_cell[0] = s->cell[3];
    CHECK_EQUAL(rs_span_run(&s->span, tick, 50, 0, &ran), RS_SPAN_CONFLICT);
    CHECK_EQUAL(s->checker.founds, 1);
    CHECK_EQUAL(s->found[0] >> 60, RS_CHECKER_STANDING);
    tick += ran;
    s->pod_cell[0] = 2 * W + 1;
    CHECK_EQUAL(rs_span_run(&s->span, tick, 50, 1, &ran), RS_SPAN_CONFLICT); /* that it is over */
    CHECK_EQUAL(s->checker.founds, 0);
    tick += ran;
    rs_execution_fence(s->execution, 1);
    CHECK_EQUAL(rs_span_run(&s->span, tick, 50, 0, &ran), RS_SPAN_ODD);
    CHECK_EQUAL(s->verdict[1], RS_REPORT_FENCED);
    free(s->memory);
    free(s);
}

/* 90 s of traffic in spans of at most `most` steps; whoever arrives gets another goal. Returns how
 * many did. */
static int drive(site_t *s, int32_t most, int32_t by_hand)
{
    int arrivals = 0;
    s->tick.by_hand = by_hand;
    for (int64_t tick = 0; tick < 900;) {
        int32_t ran, left = (int32_t)(900 - tick);
        int32_t told = rs_span_run(&s->span, tick, most < left ? most : left, 0, &ran);
        CHECK_EQUAL(told & ~RS_SPAN_TICK, 0);
        CHECK(!by_hand || s->tick.arrivals == 0);
        tick += ran;
        if (told && rs_tick_begin(&s->tick, (double)tick * 0.1))
            rs_tick_plan(&s->tick);
        CHECK_EQUAL(s->tick.code, 0);
        for (; s->tick.arrivals > 0; arrivals++) {
            int32_t u = s->tick.arrived[--s->tick.arrivals];
            CHECK_EQUAL(s->view.end_cell[u], s->goal[u]);
            s->goal[u] = (1 + arrivals * 3 % (H - 2)) * W + 1 + (u + arrivals) % (W - 2);
        }
    }
    return arrivals;
}

/* Ticks within a span do what the caller's do. */
static void ticks_are_the_same_in_a_span_and_by_hand(void)
{
    site_t *s = malloc(2 * sizeof *s);
    int arrivals[2];
    for (int i = 0; i < 2; i++) {
        set_up(s + i, 0.2);
        set_up_traffic(s + i);
        arrivals[i] = drive(s + i, i ? 900 : 3, !i);
    }
    CHECK(arrivals[0] > 20);
    CHECK_EQUAL(arrivals[0], arrivals[1]);
    CHECK(!memcmp(s[0].done, s[1].done, sizeof s->done));
    CHECK(!memcmp(s[0].x, s[1].x, sizeof s->x) && !memcmp(s[0].y, s[1].y, sizeof s->y));
    for (int i = 0; i < 2; i++) {
        rs_planner_free(s[i].planner);
        free(s[i].memory);
    }
    free(s);
}

/* A unit that has come to a halt, and a plan that cannot be made, are the caller's. */
static void ticks_that_are_more_than_planning_end_a_span(void)
{
    site_t *s = malloc(sizeof *s);
    int32_t ran;
    set_up(s, 0.0);
    set_up_traffic(s);
    s->known_status[4] = s->status[4] = RS_TICK_HALTS;
    s->stopped[4] = 1;
    CHECK_EQUAL(rs_span_run(&s->span, 0, 50, 0, &ran), RS_SPAN_TICK);
    CHECK_EQUAL(ran, 1);
    s->halted[4] = 1;
    s->goal[2] = 0; /* a wall */
    CHECK_EQUAL(rs_span_run(&s->span, 1, 50, 0, &ran), RS_SPAN_TICK);
    CHECK_EQUAL(ran, 1);
    CHECK_EQUAL(s->tick.code, RS_PLAN_BAD_GOAL);
    CHECK_EQUAL(s->tick.unit, 2);
    rs_planner_free(s->planner);
    free(s->memory);
    free(s);
}

static void lateness_has_its_share_and_mean(void)
{
    enum { N = 200000 };
    int64_t late = 0;
    double sum = 0.0;
    for (uint32_t i = 0; i < N; i++) {
        double seconds = rs_drive_lateness(5, (int32_t)(i % 97), i % 3, i, 0.1, 2.0);
        CHECK(seconds >= 0.0);
        late += seconds > 0.0;
        sum += seconds;
    }
    CHECK(late > 0.095 * N && late < 0.105 * N);
    CHECK(sum / (double)late > 1.9 && sum / (double)late < 2.1);
    CHECK(rs_drive_lateness(5, 1, 2, 3, 0.0, 2.0) == 0.0);
    CHECK(rs_drive_lateness(5, 1, 2, 3, 1.0, 2.0) == rs_drive_lateness(5, 1, 2, 3, 1.0, 2.0));
}

int main(void)
{
    random_plans_are_driven_without_conflict(0.0);
    random_plans_are_driven_without_conflict(0.3);
    what_has_to_be_told_ends_a_span();
    ticks_are_the_same_in_a_span_and_by_hand();
    ticks_that_are_more_than_planning_end_a_span();
    lateness_has_its_share_and_mean();
    return 0;
}
