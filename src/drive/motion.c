#include "motion.h"

#include <math.h>

/* Action codes of messages.Action. */
enum {
    FORWARD = 0,
    TURN_CW = 1,
    TURN_CCW = 2,
    LIFT = 4,
    LOWER = 5,
    CHARGE = 6,
    FACE = 8,
    FACES = 4
};
enum { WALL = 0, CHARGER = 6 }; /* CellKind */

#define HALF_PI 1.57079632679489661923
/* A standstill closer to the last released centre than this (m) counts as arrival, and what is
 * done but for this long (s) is done: rounding must not cost a step. */
#define TINY 1e-9

static const double YAW[4] = {0.0, -HALF_PI, 2 * HALF_PI, HALF_PI};
static const double EAST[4] = {1.0, 0.0, -1.0, 0.0};
static const double NORTH[4] = {0.0, -1.0, 0.0, 1.0};

static int32_t ahead(const rs_drive_fleet *f, int32_t cell, int heading)
{
    int32_t col = cell % f->width, row = cell / f->width;
    switch (heading) {
    case 0:
        return col + 1 < f->width ? cell + 1 : -1;
    case 1:
        return row + 1 < f->height ? cell + f->width : -1;
    case 2:
        return col > 0 ? cell - 1 : -1;
    default:
        return row > 0 ? cell - f->width : -1;
    }
}

/* Takes one unit's entry of a release; returns how many actions were new. */
static int32_t take_entry(rs_drive_fleet *f, int32_t u, uint32_t epoch, int64_t first,
                          int32_t origin, int32_t count, const uint8_t *action,
                          const int32_t *cell)
{
    if (epoch < f->epoch[u])
        return 0;
    int newer = epoch > f->epoch[u];
    int64_t known = newer ? 0 : f->released[u];
    if (newer && (f->done[u] != f->released[u] || f->v[u] != 0.0))
        return 0;
    if (first > known)
        return 0; /* a gap */
    int64_t old = known - first;
    if (old > count || (old == count && !newer))
        return 0; /* nothing new */
    int32_t at = newer ? f->cell[u] : f->base_cell[u];
    int heading = newer ? f->heading[u] : f->base_heading[u];
    if ((old == 0 ? origin : cell[old - 1]) != at)
        return 0; /* does not continue from the end of the base */

    int64_t room = newer ? RS_DRIVE_RING : RS_DRIVE_RING - (int64_t)(f->released[u] - f->done[u]);
    int64_t end = old + room < count ? old + room : count;
    /* Slots beyond the base are free: write there, and let them count only when all are sound. */
    for (int64_t j = old; j < end; j++) {
        int code = action[j];
        if (code == FORWARD) {
            at = ahead(f, at, heading);
            if (at < 0 || f->kind[at] == WALL)
                return 0;
        } else if (code == TURN_CW || code == TURN_CCW) {
            heading = (heading + (code == TURN_CW ? 1 : 3)) & 3;
        } else if (!(code >= LIFT && code <= CHARGE) && !(code >= FACE && code < FACE + FACES)) {
            return 0;
        }
        if (cell[j] != at)
            return 0;
        int64_t slot =
            (int64_t)u * RS_DRIVE_RING + (known + j - old) % RS_DRIVE_RING;
        f->ring_action[slot] = (uint8_t)code;
        f->ring_cell[slot] = at;
        f->ring_delay[slot] = 0.0;
    }
    if (newer) {
        f->epoch[u] = epoch;
        f->done[u] = 0;
    }
    f->released[u] = (uint32_t)(known + end - old);
    f->base_cell[u] = at;
    f->base_heading[u] = (uint8_t)heading;
    return (int32_t)(end - old);
}

int64_t rs_drive_take(rs_drive_fleet *f, uint32_t epoch, int32_t k, const int32_t *unit,
                      const uint32_t *first, const int32_t *origin, const int32_t *count,
                      int64_t total, const uint8_t *action, const int32_t *cell, int32_t *taken)
{
    int64_t sum = 0, at = 0, new_actions = 0;
    for (int32_t i = 0; i < k; i++) {
        if (count[i] < 0)
            return -1;
        sum += count[i];
    }
    if (sum != total)
        return -1;
    for (int32_t i = 0; i < k; i++) {
        int64_t u = (int64_t)unit[i] - f->first_unit;
        taken[i] = 0;
        if (u >= 0 && u < f->n)
            taken[i] = take_entry(f, (int32_t)u, epoch, first[i], origin[i], count[i], action + at,
                                  cell + at);
        new_actions += taken[i];
        at += count[i];
    }
    return new_actions;
}

/* splitmix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators",
 * OOPSLA 2014). */
static uint64_t mix(uint64_t z)
{
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Uniform in (0, 1]. */
static double uniform(uint64_t bits)
{
    return ((double)(bits >> 11) + 1.0) / 9007199254740992.0;
}

double rs_drive_lateness(uint64_t seed, int32_t unit, uint32_t epoch, uint32_t action, double share,
                         double seconds)
{
    uint64_t key = mix(mix(seed ^ (uint64_t)(uint32_t)unit << 32 ^ epoch) ^ action);
    return uniform(key) <= share ? -seconds * log(uniform(mix(key))) : 0.0;
}

/* Time-optimal trapezoid to a standstill after `way` metres: moves on for at most *t seconds,
 * takes the time used off *t, and returns the metres moved. Exact at arrival (*v becomes 0). */
static double trapezoid(double *v, double way, double acceleration, double max_speed, double *t)
{
    double v0 = *v, a = acceleration;
    if (way <= 0.0) {
        *v = 0.0;
        return 0.0;
    }
    if (v0 * v0 >= 2.0 * a * way) { /* on the braking curve, or past it by rounding */
        double stop = 2.0 * way / v0, left = stop - *t;
        if (left <= TINY) {
            *t = fmax(0.0, -left);
            *v = 0.0;
            return way;
        }
        double brake = v0 / stop;
        *t = 0.0;
        *v = brake * left;
        return way - 0.5 * brake * left * left;
    }
    double peak = fmin(max_speed, sqrt(a * way + 0.5 * v0 * v0));
    peak = fmax(peak, v0);
    double up = (peak - v0) / a, down = peak / a;
    double up_way = 0.5 * (v0 + peak) * up, down_way = 0.5 * peak * down;
    double cruise = fmax(0.0, way - up_way - down_way) / peak;
    double time = *t;
    *t = 0.0;
    if (time < up) {
        *v = v0 + a * time;
        return 0.5 * (v0 + *v) * time;
    }
    if (time < up + cruise) {
        *v = peak;
        return up_way + peak * (time - up);
    }
    double left = up + cruise + down - time;
    if (left > TINY) {
        *v = a * left;
        return way - 0.5 * a * left * left;
    }
    *t = fmax(0.0, -left);
    *v = 0.0;
    return way;
}

/* Drives the run of released FORWARDs that begins with action `done`; to a standstill as soon as
 * possible when `halt`. Returns metres moved. */
static double drive(rs_drive_fleet *f, int32_t u, int halt, double *t)
{
    int64_t ring = (int64_t)u * RS_DRIVE_RING;
    uint32_t done = f->done[u], end = done + 1;
    while (end != f->released[u] && f->ring_action[ring + end % RS_DRIVE_RING] == FORWARD &&
           f->ring_delay[ring + end % RS_DRIVE_RING] <= 0.0)
        end++;
    double run = (end - done) * f->pitch - f->offset[u], way = run;
    if (halt)
        way = fmin(way, f->v[u] * f->v[u] / (2.0 * f->acceleration));
    double moved = trapezoid(&f->v[u], way, f->acceleration, f->max_speed, t);
    int arrived = f->v[u] == 0.0 && run - moved < TINY;
    f->offset[u] += moved;
    uint32_t last = arrived ? end : end - 1;
    while (f->done[u] != last && (arrived || f->offset[u] >= f->pitch)) {
        f->cell[u] = f->ring_cell[ring + f->done[u] % RS_DRIVE_RING];
        f->offset[u] -= f->pitch;
        f->done[u]++;
    }
    if (arrived)
        f->offset[u] = 0.0;
    return moved;
}

/* The pod is turned through the shorter side; face k stands k quarter turns from face 0. */
static int quarters(int from, int to)
{
    int turn = (to - from + FACES) % FACES;
    return turn == 3 ? 1 : turn;
}

/* Seconds the action takes in all; only for actions other than FORWARD. */
static double duration(const rs_drive_fleet *f, int32_t u, int code)
{
    switch (code) {
    case TURN_CW:
    case TURN_CCW:
        return f->turn_time / 4;
    case LIFT:
    case LOWER:
        return f->lift_time;
    case CHARGE:
        return 0.0;
    default:
        if (f->load[u] != RS_DRIVE_POD)
            return 0.0;
        return quarters(f->pod_face[f->load_id[u]], code - FACE) * f->turn_time / 4;
    }
}

/* Brings about what the completed action does; returns whether it could. */
static int complete(rs_drive_fleet *f, int32_t u, int code, double *energy)
{
    int32_t *spot = &f->pod_at[f->cell[u]];
    switch (code) {
    case TURN_CW:
    case TURN_CCW:
        f->heading[u] = (f->heading[u] + (code == TURN_CW ? 1 : 3)) & 3;
        return 1;
    case LIFT:
        if (*spot < 0 || f->load[u] != RS_DRIVE_EMPTY)
            return 0;
        f->load[u] = RS_DRIVE_POD;
        f->load_id[u] = *spot;
        f->load_mass[u] = f->pod_mass;
        *spot = -1;
        *energy += f->lift_energy * f->load_mass[u] / 1000.0;
        return 1;
    case LOWER:
        if (*spot >= 0 || f->load[u] != RS_DRIVE_POD)
            return 0;
        *spot = f->load_id[u];
        f->load[u] = RS_DRIVE_EMPTY;
        f->load_id[u] = -1;
        f->load_mass[u] = 0.0;
        return 1;
    case CHARGE:
        f->contact[u] = f->kind[f->cell[u]] == CHARGER;
        return f->contact[u];
    default:
        if (f->load[u] != RS_DRIVE_POD)
            return 0;
        f->pod_face[f->load_id[u]] = (uint8_t)(code - FACE);
        return 1;
    }
}

/* Whether the unit is in a closed cell, or what is left of its base leads into one. */
static int is_held(const rs_drive_fleet *f, int32_t u)
{
    if (!f->closures)
        return 0;
    if (f->closed[f->cell[u]])
        return 1;
    for (uint32_t i = f->done[u]; i != f->released[u]; i++)
        if (f->closed[f->ring_cell[(int64_t)u * RS_DRIVE_RING + i % RS_DRIVE_RING]])
            return 1;
    return 0;
}

static void step_unit(rs_drive_fleet *f, int32_t u, double dt)
{
    int64_t ring = (int64_t)u * RS_DRIVE_RING;
    double t = dt, way = 0.0, charging = 0.0, energy = 0.0; /* s, m of wheel, s, Wh */
    f->held[u] = (uint8_t)is_held(f, u);
    int halt = f->stopped[u] || f->dead[u] || f->held[u];
    f->fault[u] = 0;
    if (halt) {
        if (f->v[u] > 0.0)
            way = drive(f, u, 1, &t);
        if (f->contact[u] && !f->dead[u])
            charging = dt;
    } else {
        /* Time left over when one action ends goes into the next. */
        while (t > 0.0 && f->done[u] != f->released[u]) {
            int64_t slot = ring + f->done[u] % RS_DRIVE_RING;
            int code = f->ring_action[slot];
            if (f->ring_delay[slot] > 0.0) {
                double wait = fmin(f->ring_delay[slot], t);
                f->ring_delay[slot] -= wait;
                t -= wait;
                if (f->contact[u])
                    charging += wait;
                continue;
            }
            f->contact[u] = 0;
            if (code == FORWARD) {
                way += drive(f, u, 0, &t);
                continue;
            }
            double whole = duration(f, u, code), spent = fmin(t, whole - f->progress[u]);
            if ((code == TURN_CW || code == TURN_CCW) && whole > 0.0)
                way += spent / whole * HALF_PI * f->wheel_arm;
            if (f->progress[u] + t < whole - TINY) {
                f->progress[u] += t;
                t = 0.0;
                continue;
            }
            t = fmax(0.0, t - (whole - f->progress[u]));
            f->progress[u] = 0.0;
            if (!complete(f, u, code, &energy))
                f->fault[u] |= (uint8_t)(1 << (code < FACE ? code - LIFT : FACE - LIFT - 1));
            f->done[u]++;
        }
        if (f->contact[u])
            charging += t;
    }
    double effort = f->drive_power + f->load_power * f->load_mass[u] / 1000.0;
    energy += (f->idle_power * dt + effort * way / f->max_speed - f->charge_power * charging) / 3600;
    f->charge[u] = fmin(1.0, fmax(0.0, f->charge[u] - energy / f->battery_wh));
    if (f->charge[u] <= 0.0)
        f->dead[u] = 1;
}

static void write_outputs(rs_drive_fleet *f, int32_t u)
{
    int32_t col = f->cell[u] % f->width, row = f->cell[u] / f->width;
    int heading = f->heading[u];
    double yaw = YAW[heading];
    if (f->progress[u] > 0.0) {
        int code = f->ring_action[(int64_t)u * RS_DRIVE_RING + f->done[u] % RS_DRIVE_RING];
        double part = f->progress[u] / (f->turn_time / 4) * HALF_PI;
        if (code == TURN_CW || code == TURN_CCW)
            yaw += code == TURN_CW ? -part : part;
        if (yaw > 2 * HALF_PI)
            yaw -= 4 * HALF_PI;
    }
    f->x[u] = (float)((col + 0.5) * f->pitch + EAST[heading] * f->offset[u]);
    f->y[u] = (float)((f->height - row - 0.5) * f->pitch + NORTH[heading] * f->offset[u]);
    f->yaw[u] = (float)yaw;
    f->speed[u] = (float)f->v[u];
    f->battery[u] = (float)f->charge[u];
    f->status[u] = f->dead[u]                     ? RS_DRIVE_DEAD
                   : f->stopped[u] || f->held[u] ? RS_DRIVE_STOPPED
                   : f->contact[u]               ? RS_DRIVE_CHARGING
                                                 : RS_DRIVE_OK;
}

int32_t rs_drive_step(rs_drive_fleet *f, double dt)
{
    int32_t failed = 0;
    for (int32_t u = 0; u < f->n; u++) {
        step_unit(f, u, dt);
        failed += f->fault[u] != 0;
        write_outputs(f, u);
    }
    return failed;
}
