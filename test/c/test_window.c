/* Plans over a window on a small floor on which units fail to move, freeze, rest, and cells close:
 * no joint step has a conflict, and the final check never has to step in. */
#include "check.h"

#include <stdint.h>
#include <string.h>

#include "planner/operations.h"
#include "planner/planner.h"

enum { SIDE = 14, PLACES = SIDE * SIDE, UNITS = 24, STEPS = 400 };

static uint64_t state = 7;

static int32_t dice(int32_t sides)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int32_t)((state >> 33) % (uint64_t)sides);
}

static int32_t any_free(const uint8_t *exits)
{
    int32_t p = dice(PLACES);
    while (!exits[p])
        p = dice(PLACES);
    return p;
}

static void window_keeps_units_apart(void)
{
    static const int32_t ahead[4] = {1, SIDE, -1, -SIDE};
    uint8_t exits[PLACES], blocked[PLACES] = {0}, heading[UNITS], frozen[UNITS], action[UNITS];
    int32_t cell[UNITS], goal[UNITS], next[UNITS], at[PLACES], unit, met = 0;
    for (int32_t p = 0; p < PLACES; p++)
        exits[p] = dice(8) ? 15 : 0;
    memset(at, -1, sizeof at);
    for (int32_t u = 0; u < UNITS; u++) {
        do
            cell[u] = any_free(exits);
        while (at[cell[u]] >= 0);
        at[cell[u]] = u;
        heading[u] = (uint8_t)dice(4);
        goal[u] = any_free(exits);
        next[u] = -1;
    }
    rs_planner_config config = {.width = SIDE, .height = SIDE, .units = UNITS, .exits = exits,
                                .depth = 4, .allow_rotation = 1, .table_memory = 1 << 22,
                                .threads = 1};
    rs_planner *planner = rs_planner_new(&config);
    CHECK(planner != NULL);
    for (int t = 0; t < STEPS; t++) {
        for (int32_t u = 0; u < UNITS; u++) {
            frozen[u] = dice(30) == 0;
            if (cell[u] == goal[u] && dice(3)) {
                met++;
                goal[u] = next[u] >= 0 ? next[u] : dice(20) ? any_free(exits) : -1;
                next[u] = dice(2) ? any_free(exits) : -1;
            } else if (goal[u] < 0 && dice(5) == 0) {
                goal[u] = any_free(exits);
            }
        }
        if (t % 50 == 25)
            blocked[any_free(exits)] ^= 1;
        rs_planner_input input = {.cell = cell, .heading = heading, .goal = goal,
                                  .next_goal = next, .frozen = frozen, .blocked = blocked,
                                  .iterations = 60};
        CHECK_EQUAL(rs_planner_step(planner, &input, action, &unit), RS_PLAN_OK);
        int32_t to[UNITS], enters[PLACES];
        memset(enters, -1, sizeof enters);
        for (int32_t u = 0; u < UNITS; u++) {
            to[u] = action[u] == RS_FORWARD ? cell[u] + ahead[heading[u]] : cell[u];
            CHECK(to[u] >= 0 && to[u] < PLACES && exits[to[u]] && enters[to[u]] < 0);
            CHECK(!frozen[u] || action[u] == RS_WAIT);
            CHECK(action[u] != RS_FORWARD || !blocked[to[u]]);
            enters[to[u]] = u;
        }
        for (int32_t u = 0; u < UNITS; u++) {
            int32_t other = to[u] == cell[u] ? -1 : at[to[u]];
            CHECK(other < 0 || to[other] != cell[u]);
        }
        int fails = t % 10 == 9; /* nobody moves: all plans are out of date */
        memset(at, -1, sizeof at);
        for (int32_t u = 0; u < UNITS; u++) {
            cell[u] = fails ? cell[u] : to[u];
            at[cell[u]] = u;
            if (!fails && (action[u] == RS_TURN_CW || action[u] == RS_TURN_CCW))
                heading[u] = (uint8_t)((heading[u] + (action[u] == RS_TURN_CW ? 1 : 3)) & 3);
        }
    }
    rs_planner_stats stats;
    rs_planner_get_stats(planner, &stats);
    CHECK_EQUAL(stats.rejected, 0);
    CHECK(met > UNITS);
    rs_planner_free(planner);
}

int main(void)
{
    window_keeps_units_apart();
    return 0;
}
