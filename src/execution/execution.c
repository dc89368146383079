#include "execution.h"

#include <string.h>

enum { EAST = 0, SOUTH = 1, WEST = 2 };

struct rs_execution {
    int32_t units, width, height, cells, capacity, ahead;
    uint32_t epoch, mask;
    rs_execution_view v;
    double *sent_at;        /* [units] s */
    /* Rings; action number n of unit u is at u * capacity + (n & mask). */
    uint8_t *action;        /* [units*capacity] */
    uint8_t *after_heading; /* [units*capacity] */
    int32_t *after_cell;    /* [units*capacity] */
    /* Visits: number n of unit u is node u * capacity + (n & mask). */
    int32_t *visit_cell;    /* [units*capacity] */
    int32_t *visit_next;    /* [units*capacity] next node in the cell's queue, or -1 */
    uint8_t *visit_claimed; /* [units*capacity] */
    uint32_t *visit_first;  /* [units] the cell the unit is in */
    uint32_t *visit_base;   /* [units] first that is not claimed */
    uint32_t *visit_end;    /* [units] */
    int32_t *head, *tail;   /* [cells] node, or -1 */
    /* Scratch of commit. */
    int32_t *target;        /* [units] cell it moves to, or -1 */
    int32_t *seen;          /* [units] */
    uint32_t *entered;      /* [cells] number of the commit that last entered the cell */
    uint32_t commits;
};

/* Walks through the block; with memory NULL it only adds up. */
typedef struct {
    unsigned char *memory;
    size_t used;
} arena;

static void *take(arena *a, size_t count, size_t size)
{
    void *p = a->memory ? a->memory + a->used : NULL;
    a->used += (count * size + 7) & ~(size_t)7;
    return p;
}

static void lay_out(arena *a, rs_execution *e, size_t units, size_t cells, size_t capacity)
{
    size_t nodes = units * capacity;
    e->v.stamp = take(a, units, sizeof(double));
    e->sent_at = take(a, units, sizeof(double));
    e->v.cell = take(a, units, sizeof(int32_t));
    e->v.end_cell = take(a, units, sizeof(int32_t));
    e->v.planned = take(a, units, sizeof(uint32_t));
    e->v.base = take(a, units, sizeof(uint32_t));
    e->v.sent = take(a, units, sizeof(uint32_t));
    e->v.known = take(a, units, sizeof(uint32_t));
    e->v.done = take(a, units, sizeof(uint32_t));
    e->visit_first = take(a, units, sizeof(uint32_t));
    e->visit_base = take(a, units, sizeof(uint32_t));
    e->visit_end = take(a, units, sizeof(uint32_t));
    e->target = take(a, units, sizeof(int32_t));
    e->seen = take(a, units, sizeof(int32_t));
    e->v.heading = take(a, units, 1);
    e->v.end_heading = take(a, units, 1);
    e->v.fenced = take(a, units, 1);
    e->after_cell = take(a, nodes, sizeof(int32_t));
    e->visit_cell = take(a, nodes, sizeof(int32_t));
    e->visit_next = take(a, nodes, sizeof(int32_t));
    e->action = take(a, nodes, 1);
    e->after_heading = take(a, nodes, 1);
    e->visit_claimed = take(a, nodes, 1);
    e->head = take(a, cells, sizeof(int32_t));
    e->tail = take(a, cells, sizeof(int32_t));
    e->entered = take(a, cells, sizeof(uint32_t));
}

size_t rs_execution_bytes(int32_t units, int32_t width, int32_t height, int32_t capacity)
{
    if (units < 0 || width < 1 || height < 1 || capacity < 2 || (capacity & (capacity - 1)))
        return 0;
    if ((int64_t)width * height > INT32_MAX || (int64_t)units * capacity > INT32_MAX)
        return 0;
    arena a = {NULL, 0};
    rs_execution e;
    take(&a, 1, sizeof e);
    lay_out(&a, &e, (size_t)units, (size_t)width * (size_t)height, (size_t)capacity);
    return a.used;
}

static int32_t node_of(const rs_execution *e, int32_t unit, uint32_t number)
{
    return unit * e->capacity + (int32_t)(number & e->mask);
}

static int is_absent(const rs_execution *e, int32_t unit)
{
    return e->v.cell[unit] < 0 || e->v.fenced[unit];
}

static void clear(rs_execution *e)
{
    for (int32_t c = 0; c < e->cells; c++)
        e->head[c] = e->tail[c] = -1;
    for (int32_t u = 0; u < e->units; u++) {
        e->v.cell[u] = e->v.end_cell[u] = -1;
        e->v.heading[u] = e->v.end_heading[u] = 0;
        e->v.planned[u] = e->v.base[u] = e->v.sent[u] = e->v.known[u] = e->v.done[u] = 0;
        e->visit_first[u] = e->visit_base[u] = e->visit_end[u] = 0;
        e->v.fenced[u] = 0;
        e->v.stamp[u] = e->sent_at[u] = -1e300;
    }
}

rs_execution *rs_execution_init(void *memory, int32_t units, int32_t width, int32_t height,
                                int32_t capacity, int32_t ahead)
{
    size_t bytes = rs_execution_bytes(units, width, height, capacity);
    if (!bytes || ahead < 1)
        return NULL;
    memset(memory, 0, bytes);
    arena a = {memory, 0};
    rs_execution *e = take(&a, 1, sizeof *e);
    e->units = units;
    e->width = width;
    e->height = height;
    e->cells = width * height;
    e->capacity = capacity;
    e->mask = (uint32_t)capacity - 1;
    e->ahead = ahead;
    lay_out(&a, e, (size_t)units, (size_t)e->cells, (size_t)capacity);
    clear(e);
    return e;
}

void rs_execution_get_view(rs_execution *e, rs_execution_view *view)
{
    *view = e->v;
}

static void push_visit(rs_execution *e, int32_t unit, int32_t cell)
{
    int32_t node = node_of(e, unit, e->visit_end[unit]++);
    e->visit_cell[node] = cell;
    e->visit_next[node] = -1;
    e->visit_claimed[node] = 0;
    if (e->tail[cell] >= 0)
        e->visit_next[e->tail[cell]] = node;
    else
        e->head[cell] = node;
    e->tail[cell] = node;
}

int32_t rs_execution_reset(rs_execution *e, uint32_t epoch, const int32_t *cell,
                           const uint8_t *heading, const double *stamp)
{
    clear(e);
    e->epoch = epoch;
    for (int32_t u = 0; u < e->units; u++) {
        if (cell[u] == -1)
            continue;
        if (cell[u] < 0 || cell[u] >= e->cells || e->head[cell[u]] >= 0) {
            clear(e);
            return u;
        }
        e->v.cell[u] = e->v.end_cell[u] = cell[u];
        e->v.heading[u] = e->v.end_heading[u] = heading[u] & 3;
        e->v.stamp[u] = stamp[u];
        push_visit(e, u, cell[u]);
        e->visit_claimed[node_of(e, u, 0)] = 1;
        e->visit_base[u] = 1;
    }
    return -1;
}

static int32_t ahead_of(const rs_execution *e, int32_t cell, uint8_t heading)
{
    int32_t col = cell % e->width;
    if (heading == EAST)
        return col + 1 < e->width ? cell + 1 : -1;
    if (heading == WEST)
        return col > 0 ? cell - 1 : -1;
    if (heading == SOUTH)
        return cell + e->width < e->cells ? cell + e->width : -1;
    return cell >= e->width ? cell - e->width : -1;
}

/* The unit that is planned to end in the cell, or -1: only the last planned visitor can be. */
static int32_t occupant(const rs_execution *e, int32_t cell)
{
    if (e->tail[cell] < 0)
        return -1;
    int32_t unit = e->tail[cell] / e->capacity;
    return e->v.end_cell[unit] == cell ? unit : -1;
}

static int is_full(const rs_execution *e, int32_t unit)
{
    return e->v.planned[unit] - e->v.done[unit] + 1 >= (uint32_t)e->capacity;
}

static void push_action(rs_execution *e, int32_t unit, uint8_t action)
{
    int32_t slot = node_of(e, unit, e->v.planned[unit]++);
    e->action[slot] = action;
    e->after_cell[slot] = e->v.end_cell[unit];
    e->after_heading[slot] = e->v.end_heading[unit];
}

/* A joint step may be queued when each cell is entered at most once, by a unit that follows nobody
 * or one that leaves in the same step, and no chain of followers closes: then every wait is for
 * something strictly earlier. */
static int check(rs_execution *e, const uint8_t *action, int32_t *at)
{
    for (int32_t u = 0; u < e->units; u++) {
        e->seen[u] = 0;
        e->target[u] = -1;
        if (action[u] == RS_ACT_WAIT)
            continue;
        *at = u;
        if (action[u] > RS_ACT_WAIT)
            return RS_COMMIT_BAD_ACTION;
        if (is_absent(e, u))
            return RS_COMMIT_ABSENT;
        if (is_full(e, u))
            return RS_COMMIT_FULL;
        if (action[u] != RS_ACT_FORWARD)
            continue;
        int32_t cell = ahead_of(e, e->v.end_cell[u], e->v.end_heading[u]);
        if (cell < 0)
            return RS_COMMIT_OUTSIDE;
        if (e->entered[cell] == e->commits)
            return RS_COMMIT_CLASH;
        e->entered[cell] = e->commits;
        e->target[u] = cell;
    }
    for (int32_t u = 0; u < e->units; u++) {
        int32_t w = u;
        *at = u;
        while (w >= 0 && e->target[w] >= 0 && !e->seen[w]) {
            e->seen[w] = u + 1;
            w = occupant(e, e->target[w]);
            if (w >= 0 && e->target[w] < 0)
                return RS_COMMIT_CLASH;
        }
        if (w >= 0 && e->target[w] >= 0 && e->seen[w] == u + 1)
            return RS_COMMIT_RING;
    }
    return RS_COMMIT_OK;
}

int rs_execution_commit(rs_execution *e, const uint8_t *action, int32_t *unit)
{
    e->commits++;
    int code = check(e, action, unit);
    if (code != RS_COMMIT_OK)
        return code;
    for (int32_t u = 0; u < e->units; u++) {
        if (action[u] == RS_ACT_WAIT)
            continue;
        if (action[u] == RS_ACT_FORWARD) {
            push_visit(e, u, e->target[u]);
            e->v.end_cell[u] = e->target[u];
        } else {
            e->v.end_heading[u] =
                (uint8_t)((e->v.end_heading[u] + (action[u] == RS_ACT_CW ? 1 : 3)) & 3);
        }
        push_action(e, u, action[u]);
    }
    *unit = -1;
    return RS_COMMIT_OK;
}

int rs_execution_append(rs_execution *e, int32_t unit, uint8_t action)
{
    if (unit < 0 || unit >= e->units || is_absent(e, unit))
        return RS_COMMIT_ABSENT;
    if (action <= RS_ACT_WAIT)
        return RS_COMMIT_BAD_ACTION;
    if (is_full(e, unit))
        return RS_COMMIT_FULL;
    push_action(e, unit, action);
    return RS_COMMIT_OK;
}

int rs_execution_withdraw(rs_execution *e, int32_t unit)
{
    if (e->v.planned[unit] == e->v.base[unit])
        return 0;
    if (e->action[node_of(e, unit, e->v.planned[unit] - 1)] <= RS_ACT_WAIT)
        return 0;
    e->v.planned[unit]--;
    return 1;
}

void rs_execution_truncate(rs_execution *e)
{
    for (int32_t u = 0; u < e->units; u++) {
        if (e->v.planned[u] == e->v.base[u])
            continue;
        for (uint32_t n = e->visit_base[u]; n != e->visit_end[u]; n++) {
            /* A claimed visit is always at the head of its cell's queue, and nothing else stays. */
            int32_t cell = e->visit_cell[node_of(e, u, n)];
            int32_t head = e->head[cell];
            if (head >= 0 && e->visit_claimed[head])
                e->visit_next[head] = -1;
            else
                head = e->head[cell] = -1;
            e->tail[cell] = head;
        }
        e->visit_end[u] = e->visit_base[u];
        e->v.planned[u] = e->v.base[u];
        if (e->v.base[u] == e->v.done[u]) {
            e->v.end_cell[u] = e->v.cell[u];
            e->v.end_heading[u] = e->v.heading[u];
        } else {
            int32_t slot = node_of(e, u, e->v.base[u] - 1);
            e->v.end_cell[u] = e->after_cell[slot];
            e->v.end_heading[u] = e->after_heading[slot];
        }
    }
}

void rs_execution_fence(rs_execution *e, int32_t unit)
{
    e->v.fenced[unit] = 1;
}

static uint8_t judge(const rs_execution *e, int32_t u, uint32_t epoch, uint32_t done,
                     uint32_t known, int32_t cell, uint8_t heading)
{
    if (epoch != e->epoch)
        return RS_REPORT_EPOCH;
    if (done < e->v.done[u] || known < e->v.known[u])
        return RS_REPORT_BACK;
    if (known > e->v.sent[u] || done > known)
        return RS_REPORT_BEYOND;
    /* A unit may report the cell or heading of the action it is just completing. */
    int32_t cell_now = e->v.cell[u];
    uint8_t heading_now = e->v.heading[u];
    if (done != e->v.done[u]) {
        int32_t slot = node_of(e, u, done - 1);
        cell_now = e->after_cell[slot];
        heading_now = e->after_heading[slot];
    }
    int32_t next = done != known ? node_of(e, u, done) : -1;
    if (cell != cell_now && (next < 0 || cell != e->after_cell[next]))
        return RS_REPORT_CELL;
    if (heading != heading_now && (next < 0 || heading != e->after_heading[next]))
        return RS_REPORT_HEADING;
    return RS_REPORT_OK;
}

int32_t rs_execution_report(rs_execution *e, int32_t count, const double *stamp,
                            const int32_t *unit, const uint32_t *epoch, const uint32_t *done,
                            const uint32_t *known, const int32_t *cell, const uint8_t *heading,
                            uint8_t *verdict)
{
    int32_t faults = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t u = unit[i];
        if (u < 0 || u >= e->units) {
            verdict[i] = RS_REPORT_UNIT;
            faults++;
            continue;
        }
        if (is_absent(e, u)) {
            verdict[i] = RS_REPORT_FENCED;
            continue;
        }
        if (!(stamp[i] > e->v.stamp[u])) {
            verdict[i] = RS_REPORT_STALE;
            continue;
        }
        verdict[i] = judge(e, u, epoch[i], done[i], known[i], cell[i], heading[i]);
        if (verdict[i] != RS_REPORT_OK) {
            faults++;
            continue;
        }
        e->v.stamp[u] = stamp[i];
        e->v.known[u] = known[i];
        for (uint32_t n = e->v.done[u]; n != done[i]; n++) {
            int32_t slot = node_of(e, u, n);
            if (e->action[slot] == RS_ACT_FORWARD) {
                int32_t left = node_of(e, u, e->visit_first[u]++);
                int32_t c = e->visit_cell[left];
                e->head[c] = e->visit_next[left];
                if (e->head[c] < 0)
                    e->tail[c] = -1;
            }
            e->v.cell[u] = e->after_cell[slot];
            e->v.heading[u] = e->after_heading[slot];
        }
        e->v.done[u] = done[i];
    }
    return faults;
}

int32_t rs_execution_release(rs_execution *e)
{
    int32_t news = 0;
    for (int32_t u = 0; u < e->units; u++) {
        uint32_t base = e->v.base[u];
        if (base == e->v.planned[u] || e->v.fenced[u])
            continue;
        while (base != e->v.planned[u] && base - e->v.done[u] < (uint32_t)e->ahead) {
            if (e->action[node_of(e, u, base)] == RS_ACT_FORWARD) {
                int32_t node = node_of(e, u, e->visit_base[u]);
                if (e->head[e->visit_cell[node]] != node)
                    break;
                e->visit_claimed[node] = 1;
                e->visit_base[u]++;
            }
            base++;
        }
        news += base != e->v.base[u];
        e->v.base[u] = base;
    }
    return news;
}

int32_t rs_execution_collect(rs_execution *e, double now, double again, int32_t *unit,
                             uint32_t *first, int32_t *origin, int32_t *count, uint8_t *action,
                             int32_t *cell, int32_t *actions)
{
    int32_t k = 0, total = 0;
    for (int32_t u = 0; u < e->units; u++) {
        uint32_t known = e->v.known[u], base = e->v.base[u];
        if (known == base || e->v.fenced[u])
            continue;
        if (base == e->v.sent[u] && now - e->sent_at[u] < again)
            continue;
        unit[k] = u;
        first[k] = known;
        origin[k] = known == e->v.done[u] ? e->v.cell[u] : e->after_cell[node_of(e, u, known - 1)];
        count[k] = (int32_t)(base - known);
        for (uint32_t n = known; n != base; n++, total++) {
            action[total] = e->action[node_of(e, u, n)];
            cell[total] = e->after_cell[node_of(e, u, n)];
        }
        e->v.sent[u] = base;
        e->sent_at[u] = now;
        k++;
    }
    *actions = total;
    return k;
}

uint32_t rs_execution_epoch(const rs_execution *e)
{
    return e->epoch;
}

int32_t rs_execution_claims(const rs_execution *e, int32_t unit, int32_t planned, int32_t *cell)
{
    uint32_t end = planned ? e->visit_end[unit] : e->visit_base[unit];
    int32_t k = 0;
    for (uint32_t n = e->visit_first[unit]; n != end; n++)
        cell[k++] = e->visit_cell[node_of(e, unit, n)];
    return k;
}
