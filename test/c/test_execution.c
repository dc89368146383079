#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "execution/execution.h"

enum { W = 6, H = 5, UNITS = 7, CAPACITY = 8, AHEAD = 4 };

static rs_execution *make(int32_t units, int32_t ahead, rs_execution_view *view)
{
    size_t bytes = rs_execution_bytes(units, W, H, CAPACITY);
    CHECK(bytes > 0);
    rs_execution *e = rs_execution_init(malloc(bytes), units, W, H, CAPACITY, ahead);
    rs_execution_get_view(e, view);
    return e;
}

static int32_t report(rs_execution *e, double stamp, int32_t unit, uint32_t done, uint32_t known,
                      int32_t cell, uint8_t heading)
{
    uint32_t epoch = 1;
    uint8_t verdict = 0;
    rs_execution_report(e, 1, &stamp, &unit, &epoch, &done, &known, &cell, &heading, &verdict);
    return verdict;
}

static void sizes_out_of_range_are_refused(void)
{
    CHECK_EQUAL(rs_execution_bytes(-1, W, H, 8), 0);
    CHECK_EQUAL(rs_execution_bytes(1, 0, H, 8), 0);
    CHECK_EQUAL(rs_execution_bytes(1, W, H, 6), 0);
    CHECK_EQUAL(rs_execution_bytes(1 << 20, W, H, 1 << 20), 0);
    CHECK_EQUAL(rs_execution_bytes(1, 1 << 16, 1 << 16, 8), 0);
}

/* Two units in a row: the follower waits for the report, not for the release, of the leader. */
static void follower_waits_until_the_cell_is_reported_left(void)
{
    rs_execution_view v;
    rs_execution *e = make(2, AHEAD, &v);
    int32_t cell[] = {0, 1}, unit[2], origin[2], count[2], out[2 * CAPACITY], at, actions;
    uint32_t first[2];
    uint8_t heading[] = {0, 0}, code[2 * CAPACITY], step[] = {RS_ACT_FORWARD, RS_ACT_FORWARD};
    double stamp[] = {0.0, 0.0};
    CHECK_EQUAL(rs_execution_reset(e, 1, cell, heading, stamp), -1);
    CHECK_EQUAL(rs_execution_commit(e, step, &at), RS_COMMIT_OK);
    CHECK_EQUAL(rs_execution_release(e), 1);
    CHECK_EQUAL(v.base[0], 0);
    CHECK_EQUAL(v.base[1], 1);
    CHECK_EQUAL(rs_execution_collect(e, 1.0, 0.5, unit, first, origin, count, code, out, &actions),
                1);
    CHECK_EQUAL(unit[0], 1);
    CHECK_EQUAL(origin[0], 1);
    CHECK_EQUAL(actions, 1);
    CHECK_EQUAL(out[0], 2);
    CHECK_EQUAL(rs_execution_collect(e, 1.4, 0.5, unit, first, origin, count, code, out, &actions),
                0);
    CHECK_EQUAL(rs_execution_collect(e, 1.5, 0.5, unit, first, origin, count, code, out, &actions),
                1);
    CHECK_EQUAL(report(e, 1.0, 1, 0, 1, 1, 0), RS_REPORT_OK);
    CHECK_EQUAL(rs_execution_release(e), 0);
    CHECK_EQUAL(rs_execution_claims(e, 1, 0, out), 2);
    CHECK_EQUAL(report(e, 2.0, 1, 1, 1, 2, 0), RS_REPORT_OK);
    CHECK_EQUAL(rs_execution_claims(e, 1, 0, out), 1);
    CHECK_EQUAL(rs_execution_release(e), 1);
    CHECK_EQUAL(v.base[0], 1);
    free(e);
}

static void unsafe_steps_and_impossible_reports_change_nothing(void)
{
    rs_execution_view v;
    rs_execution *e = make(4, AHEAD, &v);
    /* A ring round the corner cells 0, 1, 7, 6. */
    int32_t cell[] = {0, 1, 7, 6}, at = -1;
    uint8_t heading[] = {0, 1, 2, 3}, ring[] = {0, 0, 0, 0}, follow[] = {0, 3, 3, 3};
    uint8_t odd[] = {3, 3, 9, 3};
    double stamp[] = {5.0, 5.0, 5.0, 5.0};
    int32_t twice[] = {0, 1, 1, 6}, outside[] = {0, 1, W * H, 6};
    CHECK_EQUAL(rs_execution_reset(e, 1, twice, heading, stamp), 2);
    CHECK_EQUAL(v.cell[0], -1);
    CHECK_EQUAL(rs_execution_reset(e, 1, outside, heading, stamp), 2);
    CHECK_EQUAL(rs_execution_reset(e, 1, cell, heading, stamp), -1);
    CHECK_EQUAL(rs_execution_commit(e, ring, &at), RS_COMMIT_RING);
    CHECK_EQUAL(rs_execution_commit(e, follow, &at), RS_COMMIT_CLASH);
    CHECK_EQUAL(at, 0);
    CHECK_EQUAL(rs_execution_commit(e, odd, &at), RS_COMMIT_BAD_ACTION);
    CHECK_EQUAL(at, 2);
    for (int u = 0; u < 4; u++)
        CHECK_EQUAL(v.planned[u], 0);
    CHECK_EQUAL(rs_execution_append(e, 0, RS_ACT_FORWARD), RS_COMMIT_BAD_ACTION);
    CHECK_EQUAL(rs_execution_append(e, 9, 4), RS_COMMIT_ABSENT);
    CHECK_EQUAL(rs_execution_append(e, 0, 4), RS_COMMIT_OK);
    CHECK_EQUAL(rs_execution_withdraw(e, 0), 1);
    CHECK_EQUAL(rs_execution_withdraw(e, 0), 0);
    CHECK_EQUAL(report(e, 5.0, 0, 0, 0, 0, 0), RS_REPORT_STALE);
    CHECK_EQUAL(report(e, 6.0, 0, 1, 1, 0, 0), RS_REPORT_BEYOND);
    CHECK_EQUAL(report(e, 6.0, 0, 0, 0, 3, 0), RS_REPORT_CELL);
    CHECK_EQUAL(report(e, 6.0, 0, 0, 0, 0, 1), RS_REPORT_HEADING);
    CHECK_EQUAL(report(e, 6.0, 99, 0, 0, 0, 0), RS_REPORT_UNIT);
    CHECK_EQUAL(report(e, 6.0, 0, 0, 0, 0, 0), RS_REPORT_OK);
    rs_execution_fence(e, 0);
    CHECK_EQUAL(report(e, 7.0, 0, 0, 0, 0, 0), RS_REPORT_FENCED);
    free(e);
}

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

/* Random steps, delays and truncations through many turns of the rings: claimed cells never meet,
 * what is released is sound, and once planning ends everything is carried out. */
static void random_operation_stays_safe_and_ends(void)
{
    rs_execution_view v;
    rs_execution *e = make(UNITS, AHEAD, &v);
    int32_t cell[UNITS], at, out[UNITS * CAPACITY], claimed[CAPACITY];
    int32_t unit[UNITS], origin[UNITS], count[UNITS], actions;
    uint32_t first[UNITS];
    uint8_t heading[UNITS], step[UNITS], code[UNITS * CAPACITY];
    double stamp[UNITS], now = 0.0;
    for (int u = 0; u < UNITS; u++) {
        cell[u] = u * 3;
        heading[u] = (uint8_t)(u & 3);
        stamp[u] = 0.0;
    }
    CHECK_EQUAL(rs_execution_reset(e, 1, cell, heading, stamp), -1);
    int committed = 0;
    for (int round = 0; round < 40000; round++) {
        int ending = round >= 39000;
        now += 0.1;
        for (int u = 0; u < UNITS && !ending; u++)
            step[u] = v.planned[u] - v.done[u] < CAPACITY - 2 ? (uint8_t)random_below(4) : 3;
        if (!ending)
            committed += rs_execution_commit(e, step, &at) == RS_COMMIT_OK;
        if (!ending && random_below(8) == 0)
            rs_execution_append(e, (int32_t)random_below(UNITS), 4);
        if (!ending && random_below(50) == 0)
            rs_execution_truncate(e);
        rs_execution_release(e);
        rs_execution_collect(e, now, 0.5, unit, first, origin, count, code, out, &actions);
        int32_t owner[W * H];
        memset(owner, -1, sizeof owner);
        for (int u = 0; u < UNITS; u++) {
            int32_t n = rs_execution_claims(e, u, 0, claimed);
            CHECK(n >= 1 && n <= AHEAD + 1);
            CHECK_EQUAL(claimed[0], v.cell[u]);
            for (int i = 0; i < n; i++) {
                CHECK(owner[claimed[i]] < 0);
                owner[claimed[i]] = u;
            }
            CHECK(v.base[u] - v.done[u] <= AHEAD);
        }
        for (int u = 0; u < UNITS; u++) {
            if (v.base[u] == v.done[u] || random_below(3))
                continue;
            /* The cell and heading after the next action are on the path in any case. */
            uint32_t done = v.done[u];
            CHECK_EQUAL(report(e, now, u, done, v.base[u], v.cell[u], v.heading[u]), RS_REPORT_OK);
            int32_t k = rs_execution_claims(e, u, 0, claimed), verdict = -1;
            for (int i = 0; i < 2 && i < k && verdict != RS_REPORT_OK; i++)
                for (int h = 0; h < 4 && verdict != RS_REPORT_OK; h++)
                    verdict = report(e, now + 0.01, u, done + 1, v.base[u], claimed[i], (uint8_t)h);
            CHECK_EQUAL(verdict, RS_REPORT_OK);
        }
    }
    CHECK(committed > 1000);
    for (int u = 0; u < UNITS; u++) {
        CHECK_EQUAL(v.done[u], v.planned[u]);
        CHECK_EQUAL(v.cell[u], v.end_cell[u]);
        CHECK(v.done[u] > 10 * CAPACITY);
    }
    free(e);
}

int main(void)
{
    sizes_out_of_range_are_refused();
    follower_waits_until_the_cell_is_reported_left();
    unsafe_steps_and_impossible_reports_change_nothing();
    random_operation_stays_safe_and_ends();
    return 0;
}
