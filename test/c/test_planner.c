#include <stdint.h>
#include <string.h>

#include "check.h"
#include "planner/operations.h"
#include "planner/planner.h"
#include "planner/tables.h"

static void operations_are_distinct_and_closed_under_their_tails(void)
{
    static const int counts[] = {0, 0, 12, 31, 88, 249};
    for (int depth = 2; depth <= RS_DEPTH_MAX; depth++) {
        rs_operations ops;
        rs_operations_init(&ops, depth, 10);
        if (depth > 2)
            CHECK_EQUAL(ops.count, counts[depth]);
        CHECK_EQUAL(ops.first[ops.wait], RS_WAIT);
        CHECK_EQUAL(ops.tail[ops.wait], ops.wait);
        for (int a = 0; a < ops.count; a++)
            CHECK(ops.tail[a] >= 0 && ops.tail[a] < ops.count);
        for (int n = 0; n < ops.nodes; n++)
            CHECK(ops.node[n].skip > n && ops.node[n].skip <= ops.nodes);
    }
}

static void tables_give_exact_times_and_survive_eviction(void)
{
    uint8_t exits[12], blocked[12] = {0};
    memset(exits, 15, sizeof exits);
    exits[5] = 0; /* a wall in the middle of 4 x 3 */
    rs_grid grid;
    CHECK_EQUAL(rs_grid_init(&grid, 4, 3, exits, NULL, NULL), 0);
    CHECK_EQUAL(grid.cells, 11);
    rs_tables tables;
    CHECK_EQUAL(rs_tables_init(&tables, &grid, blocked, 1, 2 * 11 * 4, 1), 0);
    CHECK_EQUAL(tables.slots, 2);
    int32_t goal = grid.id_of[6], start = grid.id_of[4];
    for (int round = 0; round < 3; round++) {
        rs_table table = rs_tables_get(&tables, goal, 0, start);
        /* Facing north: north, turn, east, east, turn, south. */
        CHECK_EQUAL(rs_distance(&table, start, RS_NORTH), 6 * RS_STEP_COST);
        CHECK_EQUAL(rs_distance(&table, start, RS_EAST), 7 * RS_STEP_COST);
        CHECK_EQUAL(rs_distance(&table, goal, RS_WEST), 0);
        rs_tables_get(&tables, grid.id_of[0], 0, start);
        rs_tables_get(&tables, grid.id_of[round], 0, start);
    }
    blocked[grid.id_of[1]] = blocked[grid.id_of[9]] = 1;
    rs_tables_forget(&tables);
    rs_table table = rs_tables_get(&tables, goal, 0, start);
    CHECK_EQUAL(rs_distance(&table, start, 0), RS_FAR);
    rs_tables_free(&tables);
    rs_grid_free(&grid);
}

/* A full ring of units around a wall: with rotation all advance, without nobody can. */
static void rings_turn_only_when_allowed(void)
{
    static const int32_t cell[] = {0, 1, 2, 5, 8, 7, 6, 3}, goal[] = {1, 2, 5, 8, 7, 6, 3, 0};
    static const uint8_t heading[] = {0, 0, 1, 1, 2, 2, 3, 3};
    uint8_t exits[9], action[8];
    memset(exits, 15, sizeof exits);
    exits[4] = 0;
    for (int allow = 0; allow < 2; allow++) {
        rs_planner_config config = {.width = 3, .height = 3, .units = 8, .exits = exits, .depth = 3,
                                    .allow_rotation = allow, .table_memory = 1 << 16, .threads = 1};
        rs_planner_input input = {.cell = cell, .heading = heading, .goal = goal, .iterations = 50};
        rs_planner *planner = rs_planner_new(&config);
        int32_t unit;
        CHECK(planner != NULL);
        CHECK_EQUAL(rs_planner_step(planner, &input, action, &unit), RS_PLAN_OK);
        for (int u = 0; u < 8; u++)
            CHECK(allow ? action[u] == RS_FORWARD : action[u] != RS_FORWARD);
        rs_planner_free(planner);
    }
}

int main(void)
{
    operations_are_distinct_and_closed_under_their_tails();
    tables_give_exact_times_and_survive_eviction();
    rings_turn_only_when_allowed();
    return 0;
}
