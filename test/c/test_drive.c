#include <math.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "drive/motion.h"

enum { UNITS = 5, WIDTH = 9, HEIGHT = 7, CELLS = WIDTH * HEIGHT, PODS = 6, LONGEST = 200 };

typedef struct {
    rs_drive_fleet fleet;
    uint8_t kind[CELLS], closed[CELLS], pod_face[PODS];
    int32_t pod_at[CELLS];
    uint8_t ring_action[UNITS * RS_DRIVE_RING];
    int32_t ring_cell[UNITS * RS_DRIVE_RING];
    double ring_delay[UNITS * RS_DRIVE_RING];
    uint32_t epoch[UNITS], done[UNITS], released[UNITS];
    int32_t cell[UNITS], base_cell[UNITS], load_id[UNITS];
    uint8_t heading[UNITS], base_heading[UNITS], load[UNITS], stopped[UNITS], dead[UNITS];
    uint8_t contact[UNITS], held[UNITS], fault[UNITS], status[UNITS];
    double offset[UNITS], v[UNITS], progress[UNITS], charge[UNITS], load_mass[UNITS];
    float x[UNITS], y[UNITS], yaw[UNITS], speed[UNITS], battery[UNITS];
} floor_t;

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(state >> 8) * below) >> 24);
}

static void set_up(floor_t *at)
{
    memset(at, 0, sizeof *at);
    at->fleet = (rs_drive_fleet){
        .n = UNITS,
        .first_unit = 3,
        .width = WIDTH,
        .height = HEIGHT,
        .pitch = 1.1,
        .max_speed = 1.5,
        .acceleration = 1.0,
        .turn_time = 2.5,
        .lift_time = 2.2,
        .wheel_arm = 0.35,
        .battery_wh = 20.0,
        .idle_power = 40.0,
        .drive_power = 250.0,
        .load_power = 150.0,
        .lift_energy = 0.25,
        .charge_power = 3000.0,
        .pod_mass = 300.0,
        .kind = at->kind,
        .closed = at->closed,
        .pod_at = at->pod_at,
        .pod_face = at->pod_face,
        .ring_action = at->ring_action,
        .ring_cell = at->ring_cell,
        .ring_delay = at->ring_delay,
        .epoch = at->epoch,
        .done = at->done,
        .released = at->released,
        .cell = at->cell,
        .heading = at->heading,
        .base_cell = at->base_cell,
        .base_heading = at->base_heading,
        .offset = at->offset,
        .v = at->v,
        .progress = at->progress,
        .charge = at->charge,
        .load_mass = at->load_mass,
        .load = at->load,
        .load_id = at->load_id,
        .stopped = at->stopped,
        .dead = at->dead,
        .contact = at->contact,
        .held = at->held,
        .fault = at->fault,
        .x = at->x,
        .y = at->y,
        .yaw = at->yaw,
        .speed = at->speed,
        .battery = at->battery,
        .status = at->status,
    };
    for (int c = 0; c < CELLS; c++) {
        at->kind[c] = c % 11 == 0 ? 6 : c % 13 == 0 ? 0 : 1;
        at->pod_at[c] = -1;
    }
    for (int p = 0; p < PODS; p++)
        at->pod_at[10 + 7 * p] = p;
    for (int u = 0; u < UNITS; u++) {
        at->cell[u] = at->base_cell[u] = 1 + u;
        at->load_id[u] = -1;
        at->charge[u] = 1.0;
    }
}

/* Bytes from anywhere: nothing outside the arrays is touched and nothing impossible is taken. */
static void any_release_is_harmless(void)
{
    static const uint8_t codes[] = {0, 0, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 255};
    static floor_t at;
    set_up(&at);
    int64_t took = 0;
    for (int round = 0; round < 30000; round++) {
        int32_t unit[2], origin[2], count[2], taken[2], cell[2 * LONGEST];
        uint32_t first[2];
        uint8_t action[2 * LONGEST];
        uint32_t epoch = at.epoch[0];
        int64_t total = 0;
        for (int i = 0; i < 2; i++) {
            int u = (int)draw(UNITS);
            epoch = at.epoch[u];
            unit[i] = draw(9) ? 3 + u : (int32_t)draw(1000) - 500;
            first[i] = draw(5) ? at.released[u] : draw(8) ? draw(20) : UINT32_MAX - draw(3);
            origin[i] = draw(9) ? at.base_cell[u] : (int32_t)draw(2 * CELLS) - CELLS;
            count[i] = draw(50) ? (int32_t)draw(4) : (int32_t)draw(LONGEST);
            int32_t c = at.base_cell[u], heading = at.base_heading[u];
            for (int32_t j = 0; j < count[i]; j++) {
                int code = codes[draw(sizeof codes)];
                c += code == 0 ? (int[]){1, WIDTH, -1, -WIDTH}[heading & 3] : 0;
                heading += code == 1 ? 1 : code == 2 ? 3 : 0;
                action[total] = (uint8_t)code;
                cell[total++] = draw(30) ? c : (int32_t)draw(CELLS);
            }
        }
        epoch += draw(100) == 0;
        took += rs_drive_take(&at.fleet, epoch, 2, unit, first, origin, count, total, action, cell,
                              taken);
        if (draw(200) == 0)
            at.stopped[draw(UNITS)] ^= 1;
        if (draw(100) == 0) {
            uint8_t *cell_closed = &at.closed[draw(CELLS)];
            at.fleet.closures += *cell_closed ? -1 : 1;
            *cell_closed ^= 1;
            if (draw(2) == 0) {
                memset(at.closed, 0, sizeof at.closed);
                at.fleet.closures = 0;
            }
        }
        if (draw(100) == 0)
            at.ring_delay[draw(UNITS * RS_DRIVE_RING)] = 0.7;
        rs_drive_step(&at.fleet, draw(4) ? 0.1 : 3.0);
        int carried = 0, standing = 0;
        for (int u = 0; u < UNITS; u++) {
            CHECK(at.cell[u] >= 0 && at.cell[u] < CELLS && at.kind[at.cell[u]] != 0);
            CHECK(at.released[u] - at.done[u] <= RS_DRIVE_RING);
            CHECK(at.offset[u] >= 0.0 && at.offset[u] <= at.fleet.pitch + 1e-9);
            CHECK(at.v[u] >= 0.0 && at.v[u] <= at.fleet.max_speed);
            CHECK(at.charge[u] >= 0.0 && at.charge[u] <= 1.0);
            CHECK(isfinite(at.x[u]) && isfinite(at.y[u]) && fabsf(at.yaw[u]) < 3.15f);
            carried += at.load[u] == RS_DRIVE_POD;
            if (at.done[u] == at.released[u]) {
                CHECK(at.v[u] == 0.0 && at.offset[u] == 0.0);
                CHECK_EQUAL(at.cell[u], at.base_cell[u]);
            }
            if (at.dead[u] && draw(50) == 0) {
                at.dead[u] = 0;
                at.charge[u] = 1.0;
            }
        }
        for (int c = 0; c < CELLS; c++)
            standing += at.pod_at[c] >= 0;
        CHECK_EQUAL(carried + standing, PODS);
    }
    CHECK(took > 10000);
}

static void counts_that_do_not_add_up_are_refused(void)
{
    static floor_t at;
    set_up(&at);
    int32_t unit = 3, origin = 1, taken = 0, cell[2] = {2, 3};
    uint32_t first = 0;
    uint8_t action[2] = {0, 0};
    for (int32_t count = -1; count <= 3; count++) {
        int64_t got =
            rs_drive_take(&at.fleet, 0, 1, &unit, &first, &origin, &count, 2, action, cell, &taken);
        CHECK_EQUAL(got, count == 2 ? 2 : -1);
    }
    CHECK_EQUAL(at.released[0], 2);
}

int main(void)
{
    any_release_is_harmless();
    counts_that_do_not_add_up_are_refused();
    return 0;
}
