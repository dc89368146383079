#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "planner/planner.h"

enum { FORWARD = 0, CW = 1, CCW = 2, PLACES_MAX = 64, UNITS_MAX = 32 };

typedef struct {
    int32_t width, places, units;
    int32_t cell[UNITS_MAX], goal[UNITS_MAX];
    uint8_t heading[UNITS_MAX], loaded[UNITS_MAX], frozen[UNITS_MAX];
    uint8_t exits[PLACES_MAX], storage[PLACES_MAX], standing[PLACES_MAX], blocked[PLACES_MAX];
    rs_planner *planner;
} world;

static void read_map(world *w, const char *map, int32_t width, int rotation, int depth)
{
    w->width = width;
    w->places = (int32_t)strlen(map);
    for (int32_t p = 0; p < w->places; p++) {
        w->exits[p] = map[p] == '#' ? 0 : 15;
        w->storage[p] = map[p] == 'S';
    }
    rs_planner_config config = {.width = width, .height = w->places / width, .units = w->units,
                                .exits = w->exits, .storage = w->storage, .depth = depth,
                                .allow_rotation = rotation, .table_memory = 1 << 16, .threads = 1};
    w->planner = rs_planner_new(&config);
    CHECK(w->planner != NULL);
}

static void step(world *w)
{
    static const int ahead[] = {1, 0, -1, 0}, down[] = {0, 1, 0, -1};
    uint8_t action[UNITS_MAX], taken[PLACES_MAX] = {0};
    int32_t unit;
    rs_planner_input input = {.cell = w->cell, .heading = w->heading, .goal = w->goal,
                              .loaded = w->loaded, .frozen = w->frozen, .standing = w->standing,
                              .blocked = w->blocked, .iterations = 3};
    CHECK_EQUAL(rs_planner_step(w->planner, &input, action, &unit), RS_PLAN_OK);
    for (int32_t u = 0; u < w->units; u++) {
        int h = w->heading[u];
        if (w->frozen[u])
            CHECK_EQUAL(action[u], 3);
        if (action[u] == FORWARD) {
            w->cell[u] += ahead[h] + down[h] * w->width;
            CHECK(!w->blocked[w->cell[u]]);
            CHECK(!w->loaded[u] || !w->storage[w->cell[u]] || w->cell[u] == w->goal[u]);
        }
        w->heading[u] = (uint8_t)((h + (action[u] == CW) + 3 * (action[u] == CCW)) & 3);
        CHECK(!taken[w->cell[u]]);
        taken[w->cell[u]] = 1;
    }
}

static void two_units_pass_in_a_corridor(void)
{
    world w = {.units = 2, .cell = {0, 8}, .goal = {8, 0}};
    read_map(&w, "........." "####.####", 9, 0, 4);
    int met[2] = {0, 0}, steps = 0;
    for (; !(met[0] && met[1]) && steps < 400; steps++) {
        step(&w);
        for (int u = 0; u < 2; u++)
            if (w.cell[u] == w.goal[u]) {
                met[u] = 1;
                w.goal[u] = -1;
            }
    }
    CHECK(steps < 400);
    rs_planner_stats stats;
    rs_planner_get_stats(w.planner, &stats);
    CHECK(stats.rescues > 0);
    rs_planner_free(w.planner);
}

/* Loads, closed cells and frozen units change all the time, also during rescues. */
static void changes_on_a_crowded_floor_do_no_harm(void)
{
    static const char map[] = ".....S" ".##.#S" ".....S" "S#.##." "S.....";
    uint32_t random = 7;
    world w = {.units = 16};
    for (int32_t p = 0, u = 0; u < w.units; p++)
        if (map[p] == '.')
            w.cell[u++] = p;
    read_map(&w, map, 6, 0, 3);
    int64_t moved = 0;
    for (int t = 0; t < 6000; t++) {
        for (int32_t u = 0; u < w.units; u++) {
            random = random * 1664525u + 1013904223u;
            if (t == 0 || w.cell[u] == w.goal[u] || (random >> 8) % 500 == 0) {
                do {
                    random = random * 1664525u + 1013904223u;
                    w.goal[u] = (int32_t)((random >> 8) % (uint32_t)w.places);
                } while (!w.exits[w.goal[u]]);
                w.loaded[u] = (random >> 20) % 3 == 0;
                moved++;
            }
            w.frozen[u] = (random >> 9) % 40 == 0;
        }
        if (t % 97 == 0)
            for (int32_t p = 0; p < w.places; p++) {
                random = random * 1664525u + 1013904223u;
                w.blocked[p] = (random >> 8) % 30 == 0;
                w.standing[p] = w.storage[p] && (random >> 16) % 2;
            }
        step(&w);
    }
    rs_planner_stats stats;
    rs_planner_get_stats(w.planner, &stats);
    CHECK(moved > w.units && stats.rescues > 0);
    CHECK_EQUAL(stats.rejected, 0);
    rs_planner_free(w.planner);
}

int main(void)
{
    two_units_pass_in_a_corridor();
    changes_on_a_crowded_floor_do_no_harm();
    return 0;
}
