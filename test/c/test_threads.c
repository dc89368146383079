/* Several threads in one planner; built under the thread sanitizer too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "planner/planner.h"
#include "planner/regions.h"
#include "planner/team.h"

enum { WIDTH = 96, HEIGHT = 40, PLACES = WIDTH * HEIGHT, UNITS = 120, STEPS = 5, MEMBERS = 4 };

typedef struct {
    int64_t round;          /* written by the caller between two runs, read by all */
    int64_t seen[MEMBERS];  /* the other way round */
} shared;

static void look(void *what, int32_t member)
{
    shared *s = what;
    s->seen[member] += s->round;
}

static void a_team_does_every_part_of_every_round_once(void)
{
    for (int32_t members = 1; members <= MEMBERS; members++) {
        shared s = {0};
        rs_team *team = rs_team_new(members);
        CHECK(team != NULL);
        int64_t sum = 0;
        for (s.round = 1; s.round <= 300; s.round++) {
            rs_team_run(team, look, &s);
            sum += s.round;
            for (int32_t k = 0; k < MEMBERS; k++)
                CHECK_EQUAL(s.seen[k], k < members ? sum : 0);
        }
        rs_team_free(team);
    }
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* No cell is within reach of units of two regions, and in no region are too many units. */
static void regions_are_out_of_reach_of_each_other(void)
{
    static int32_t cell[UNITS], count[WIDTH];
    static uint8_t exits[PLACES], region[UNITS], of_line[WIDTH];
    uint32_t random = 3;
    rs_grid grid;
    memset(exits, 15, sizeof exits);
    CHECK_EQUAL(rs_grid_init(&grid, WIDTH, HEIGHT, exits, NULL, NULL), 0);
    for (int round = 0; round < 100; round++) {
        int axis = round % 2, reach = 2 + round % 4, lines = axis ? HEIGHT : WIDTH;
        int32_t regions = 1 + round % 5, free = 0;
        for (int32_t u = 0; u < UNITS; u++) /* uneven: more of them in low rows and columns */
            cell[u] = grid.id_of[(int32_t)(next_random(&random) % (next_random(&random) % PLACES + 1))];
        int32_t used = rs_regions(&grid, UNITS, cell, axis, (float)(round % 7) / 7.0f, regions,
                                  reach, region, count);
        if (regions > 1 && lines < 16 * reach) { /* too narrow */
            axis = !axis;
            lines = axis ? HEIGHT : WIDTH;
        }
        CHECK(used <= regions && (regions == 1 || used > 1 || lines < 16 * reach));
        memset(of_line, RS_NO_REGION, sizeof of_line);
        for (int32_t u = 0; u < UNITS; u++) {
            if (region[u] == RS_NO_REGION)
                continue;
            free++;
            CHECK(region[u] < used);
            int32_t line = axis ? grid.row[cell[u]] : grid.col[cell[u]];
            for (int32_t at = line - reach; at <= line + reach; at++)
                if (at >= 0 && at < lines) {
                    CHECK(of_line[at] == RS_NO_REGION || of_line[at] == region[u]);
                    of_line[at] = region[u];
                }
        }
        CHECK(regions > 1 || free == UNITS);
    }
    rs_grid_free(&grid);
}

/* Plans with so many threads; returns a checksum of all actions. */
static uint64_t plan(int32_t threads, int rotation, uint64_t table_memory)
{
    static int32_t cell[UNITS], goal[UNITS], next_goal[UNITS];
    static uint8_t exits[PLACES], heading[UNITS], action[UNITS], taken[PLACES];
    static const int32_t ahead[] = {1, WIDTH, -1, -WIDTH};
    uint32_t random = 11;
    uint64_t sum = 0;
    int32_t units = 0, unit;
    memset(exits, 15, sizeof exits);
    for (int32_t p = 0; p < PLACES; p++)
        if (next_random(&random) % 8 == 0)
            exits[p] = 0;
    for (int32_t p = 0; p < PLACES && units < UNITS; p++)
        if (exits[p] && next_random(&random) % 2)
            cell[units++] = p;
    rs_planner_config config = {.width = WIDTH, .height = HEIGHT, .units = units, .exits = exits,
                                .depth = 4, .allow_rotation = rotation,
                                .table_memory = table_memory, .threads = threads};
    rs_planner_input input = {.cell = cell, .heading = heading, .goal = goal,
                              .next_goal = next_goal, .iterations = 200};
    rs_planner *planner = rs_planner_new(&config);
    CHECK(planner != NULL);
    memset(heading, 0, sizeof heading);
    for (int32_t u = 0; u < units; u++)
        goal[u] = next_goal[u] = cell[u];
    for (int t = 0; t < STEPS; t++) {
        for (int32_t u = 0; u < units; u++)
            if (cell[u] == goal[u]) {
                goal[u] = next_goal[u];
                do
                    next_goal[u] = (int32_t)(next_random(&random) % PLACES);
                while (!exits[next_goal[u]]);
            }
        CHECK_EQUAL(rs_planner_step(planner, &input, action, &unit), RS_PLAN_OK);
        memset(taken, 0, sizeof taken);
        for (int32_t u = 0; u < units; u++) {
            if (action[u] == 0)
                cell[u] += ahead[heading[u]];
            heading[u] = (uint8_t)((heading[u] + (action[u] == 1) + 3 * (action[u] == 2)) & 3);
            CHECK(!taken[cell[u]]);
            taken[cell[u]] = 1;
            sum = (sum ^ action[u]) * UINT64_C(0x100000001B3);
        }
    }
    rs_planner_stats stats;
    rs_planner_get_stats(planner, &stats);
    CHECK_EQUAL(stats.rejected, 0);
    CHECK_EQUAL(stats.attempts, 200);
    rs_planner_free(planner);
    return sum;
}

static void plans_with_threads_are_safe_and_repeat(void)
{
    for (int32_t threads = 1; threads <= 3; threads++)
        CHECK(plan(threads, threads % 2, 1 << 22) == plan(threads, threads % 2, 1 << 22));
    plan(2, 0, 400000); /* room for some thirty tables */
}

int main(void)
{
    a_team_does_every_part_of_every_round_once();
    regions_are_out_of_reach_of_each_other();
    plans_with_threads_are_safe_and_repeat();
    return 0;
}
