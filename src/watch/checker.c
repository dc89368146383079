#include "watch/checker.h"

#include <math.h>

enum { NOTHING = 0, POD = 1, WALL = 0, STILL = 2 };

static int is_cell(const rs_checker *c, int32_t cell)
{
    return cell >= 0 && cell < c->width * c->height;
}

static int is_placed(const rs_checker *c, int32_t u)
{
    return isfinite(c->x[u] + c->y[u]);
}

static void find(rs_checker *c, int kind, int64_t a, int64_t b)
{
    if (c->founds < c->most)
        c->found[c->founds++] = (int64_t)kind << 60 | a << 30 | b;
}

/* Cells entered and exchanged; `from` is the old cell of each report, -1 for none. */
static void check_moves(rs_checker *c, int32_t count, const int32_t *unit, const int32_t *from)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t before = from[i];
        if (before < 0)
            continue;
        int32_t now = c->cell[unit[i]];
        if (c->closed[now] && !c->closed[before])
            c->move[c->moves++] = (rs_checker_move){unit[i], -1, before, now};
        c->at[before] = i;
    }
    for (int32_t i = 0; i < count; i++) {
        int32_t before = from[i];
        int32_t other = before < 0 ? -1 : c->at[c->cell[unit[i]]];
        if (other >= 0 && c->cell[unit[other]] == before && unit[i] < unit[other])
            c->move[c->moves++] =
                (rs_checker_move){unit[i], unit[other], before, c->cell[unit[i]]};
    }
    for (int32_t i = 0; i < count; i++)
        if (from[i] >= 0)
            c->at[from[i]] = -1;
}

static void check_shared(rs_checker *c)
{
    for (int32_t u = 0; u < c->units; u++) {
        int32_t cell = c->cell[u], pod = c->load_id[u];
        if (is_cell(c, cell)) {
            if (c->at[cell] >= 0)
                find(c, RS_CHECKER_SAME_CELL, c->at[cell], u);
            c->at[cell] = u;
        }
        if (c->load[u] != NOTHING && is_placed(c, u) && pod >= 0 && pod < c->pods) {
            if (c->carrier[pod] >= 0)
                find(c, RS_CHECKER_SAME_POD, c->carrier[pod], u);
            c->carrier[pod] = u;
        }
    }
    for (int32_t u = 0; u < c->units; u++) {
        if (is_cell(c, c->cell[u]))
            c->at[c->cell[u]] = -1;
        if (c->load_id[u] >= 0 && c->load_id[u] < c->pods)
            c->carrier[c->load_id[u]] = -1;
    }
}

/* Whether squares overlap, the second one's centre dx, dy from the first one's. Separating axes:
 * they do not when they lie apart along a side of either (S. Gottschalk et al., "OBBTree",
 * SIGGRAPH 1996). */
static int squares_meet(double dx, double dy, double yaw_a, double half_a, double yaw_b,
                        double half_b, double tolerance)
{
    double spread = fabs(cos(yaw_b - yaw_a)) + fabs(sin(yaw_b - yaw_a));
    double ca = cos(yaw_a), sa = sin(yaw_a), cb = cos(yaw_b), sb = sin(yaw_b);
    double far_a = half_a + half_b * spread - tolerance;
    double far_b = half_b + half_a * spread - tolerance;
    return fabs(dx * ca + dy * sa) < far_a && fabs(dy * ca - dx * sa) < far_a &&
           fabs(dx * cb + dy * sb) < far_b && fabs(dy * cb - dx * sb) < far_b;
}

static void check_pair(rs_checker *c, int32_t a, int32_t b, double reach)
{
    double dx = c->x[b] - c->x[a], dy = c->y[b] - c->y[a];
    if (fabs(dx) >= reach || fabs(dy) >= reach)
        return;
    double unit = c->unit_half, pod = c->pod_half, t = c->tolerance;
    int pod_a = c->load[a] == POD, pod_b = c->load[b] == POD;
    if (squares_meet(dx, dy, c->yaw[a], unit, c->yaw[b], unit, t) ||
        (pod_a && pod_b && squares_meet(dx, dy, 0.0, pod, 0.0, pod, t)) ||
        (pod_a && squares_meet(dx, dy, 0.0, pod, c->yaw[b], unit, t)) ||
        (pod_b && squares_meet(dx, dy, c->yaw[a], unit, 0.0, pod, t)))
        find(c, RS_CHECKER_OVERLAP, a < b ? a : b, a < b ? b : a);
}

/* Index along one side, 0 to n - 1; what is outside counts to the border. */
static int32_t index_of(double place, int32_t n)
{
    return (int32_t)fmin(fmax(floor(place), 0.0), n - 1.0);
}

/* Units in buckets at least as wide as the reach: partners are in the own or a neighbouring one. */
static void check_overlaps(rs_checker *c, double reach)
{
    double side = fmax(reach, c->pitch) / c->pitch;
    int32_t columns = (int32_t)ceil(c->width / side), rows = (int32_t)ceil(c->height / side);
    for (int32_t b = 0; b < c->units; b++) {
        if (!is_placed(c, b))
            continue;
        int32_t column = index_of(c->x[b] / c->pitch / side, columns);
        int32_t row = index_of(c->y[b] / c->pitch / side, rows);
        for (int32_t r = row > 0 ? row - 1 : 0; r <= row + 1 && r < rows; r++)
            for (int32_t k = column > 0 ? column - 1 : 0; k <= column + 1 && k < columns; k++)
                for (int32_t a = c->at[r * columns + k]; a >= 0; a = c->next[a])
                    check_pair(c, a, b, reach);
        int32_t *head = &c->at[row * columns + column];
        c->next[b] = *head;
        *head = b;
    }
    for (int32_t u = 0; u < c->units; u++) {
        c->next[u] = -1;
        if (is_placed(c, u))
            c->at[index_of(c->y[u] / c->pitch / side, rows) * columns +
                  index_of(c->x[u] / c->pitch / side, columns)] = -1;
    }
}

static void check_standing(rs_checker *c, double reach, const int32_t *pod_cell)
{
    for (int32_t p = 0; p < c->pods; p++)
        if (is_cell(c, pod_cell[p]))
            c->pod_at[pod_cell[p]] = p;
    double near = (reach / 2 + c->pod_half) / c->pitch; /* of centres, in cells */
    for (int32_t u = 0; u < c->units; u++) {
        if (c->load[u] == NOTHING || !is_placed(c, u))
            continue;
        /* Row 0 is at the north wall. */
        double east = c->x[u] / c->pitch, south = c->height - c->y[u] / c->pitch;
        int32_t left = index_of(east - near, c->width), right = index_of(east + near, c->width);
        int32_t top = index_of(south - near, c->height), low = index_of(south + near, c->height);
        for (int32_t row = top; row <= low; row++)
            for (int32_t column = left; column <= right; column++) {
                int32_t cell = row * c->width + column, pod = c->pod_at[cell];
                /* The pod a unit has just lifted may not have been told to be off the floor yet. */
                if (pod < 0 || pod == c->load_id[u])
                    continue;
                double dx = (column + 0.5 - east) * c->pitch, dy = (south - row - 0.5) * c->pitch;
                double half = c->pod_half;
                if (squares_meet(dx, dy, c->yaw[u], c->unit_half, 0.0, half, c->tolerance) ||
                    (c->load[u] == POD &&
                     squares_meet(dx, dy, 0.0, half, 0.0, half, c->tolerance)))
                    find(c, RS_CHECKER_STANDING, u, cell);
            }
    }
    for (int32_t p = 0; p < c->pods; p++)
        if (is_cell(c, pod_cell[p]))
            c->pod_at[pod_cell[p]] = -1;
}

static int is_wall(const rs_checker *c, double column, double row)
{
    if (!(column >= 0.0 && column < c->width && row >= 0.0 && row < c->height))
        return 1;
    return c->kind[(int32_t)row * c->width + (int32_t)column] == WALL;
}

static void check_floor(rs_checker *c)
{
    double half = (c->unit_half - c->tolerance) / c->pitch;
    for (int32_t u = 0; u < c->units; u++) {
        if (!is_placed(c, u)) {
            if (c->cell[u] >= 0)
                find(c, RS_CHECKER_OFF_FLOOR, u, u);
            continue;
        }
        double east = c->x[u] / c->pitch, south = c->height - c->y[u] / c->pitch;
        if (c->cell[u] >= c->width * c->height || is_wall(c, east - half, south - half) ||
            is_wall(c, east + half, south - half) || is_wall(c, east - half, south + half) ||
            is_wall(c, east + half, south + half))
            find(c, RS_CHECKER_OFF_FLOOR, u, u);
    }
}

int32_t rs_checker_check(rs_checker *c, int32_t count, const int32_t *unit, const int32_t *cell,
                         const float *x, const float *y, const float *yaw, const uint8_t *load,
                         const int32_t *load_id, const int32_t *pod_cell)
{
    c->moves = c->founds = 0;
    int moved = 0;
    /* Outlines whose centres are further apart than this in x or in y do not touch. */
    double reach = 2.0 * fmax(c->unit_half * sqrt(2.0), c->pod_half);
    int32_t *from = c->next; /* free until the overlaps are looked for */
    for (int32_t i = 0; i < count; i++) {
        int32_t u = unit[i], before = c->cell[u];
        if (is_cell(c, cell[i]) && c->closed[cell[i]] == STILL &&
            hypot(x[i] - c->x[u], y[i] - c->y[u]) > c->tolerance)
            find(c, RS_CHECKER_DRIVING, u, cell[i]);
        c->cell[u] = cell[i];
        c->x[u] = x[i];
        c->y[u] = y[i];
        c->yaw[u] = yaw[i];
        c->load[u] = load[i];
        c->load_id[u] = load_id[i];
        from[i] = before != cell[i] && is_cell(c, before) && is_cell(c, cell[i]) ? before : -1;
        moved |= from[i] >= 0;
    }
    if (moved)
        check_moves(c, count, unit, from);
    for (int32_t i = 0; i < count; i++)
        from[i] = -1;
    check_shared(c);
    check_overlaps(c, reach);
    check_standing(c, reach, pod_cell);
    check_floor(c);
    return c->moves + c->founds;
}
