#include "loop/span.h"

/* What traffic has planned and may release goes to the units. */
static void release(rs_span *s, double now)
{
    rs_drive_fleet *f = s->fleet;
    int32_t total = 0;
    rs_execution_release(s->execution);
    int32_t k = rs_execution_collect(s->execution, now, s->again, s->unit, s->first, s->origin,
                                     s->count, s->action, s->cell, &total);
    if (k == 0)
        return;
    uint32_t epoch = rs_execution_epoch(s->execution);
    rs_drive_take(f, epoch, k, s->unit, s->first, s->origin, s->count, total, s->action, s->cell,
                  s->taken);
    if (s->late_share <= 0.0)
        return;
    for (int32_t i = 0; i < k; i++) {
        int32_t u = s->unit[i];
        for (uint32_t n = f->released[u] - (uint32_t)s->taken[i]; n != f->released[u]; n++)
            f->ring_delay[(int64_t)u * RS_DRIVE_RING + n % RS_DRIVE_RING] =
                rs_drive_lateness(s->seed, u, epoch, n, s->late_share, s->late_seconds);
    }
}

/* The states of all units go to traffic. */
static int32_t report(rs_span *s, double now)
{
    const rs_drive_fleet *f = s->fleet;
    int32_t told = 0;
    for (int32_t u = 0; u < f->n; u++)
        s->stamp[u] = now;
    rs_execution_report(s->execution, f->n, s->stamp, s->number, f->epoch, f->done, f->released,
                        f->cell, f->heading, s->verdict);
    for (int32_t u = 0; u < f->n; u++) {
        if (s->verdict[u] != RS_REPORT_OK) {
            told |= RS_SPAN_ODD;
            continue;
        }
        s->load[u] = f->load[u];
        s->load_id[u] = f->load_id[u];
        if (s->status[u] != f->status[u])
            told |= RS_SPAN_CHANGED;
        s->status[u] = f->status[u];
        if (f->done[u] >= s->end[u])
            told |= RS_SPAN_ENDED;
    }
    return told;
}

/* What traffic does at its tick, if it is nothing but planning; `last`: others come before it. */
static int32_t plan(rs_tick *t, double now, int last)
{
    if (now + RS_TICK_EARLY < t->next)
        return 0;
    if (last || t->by_hand || rs_tick_halts(t))
        return RS_SPAN_TICK;
    rs_tick_begin(t, now);
    rs_tick_plan(t);
    return t->code || t->arrivals ? RS_SPAN_TICK : 0;
}

int32_t rs_span_run(rs_span *s, int64_t tick, int32_t steps, int32_t lasts, int32_t *ran)
{
    rs_drive_fleet *f = s->fleet;
    int32_t told = 0, k = 0;
    while (k < steps && told == 0) {
        double before = (double)(tick + k) * s->step, now = (double)(tick + k + 1) * s->step;
        release(s, before);
        if (rs_drive_step(f, now - before) > 0)
            told |= RS_SPAN_FAILED;
        told |= report(s, now);
        rs_tally_take(s->tally, now, f->n, s->number, f->cell, f->speed, f->load, f->status);
        int32_t found = rs_checker_check(s->checker, f->n, s->number, f->cell, f->x, f->y, f->yaw,
                                         f->load, f->load_id, s->pod_cell);
        if (found > 0 || lasts)
            told |= RS_SPAN_CONFLICT;
        k++;
        told |= plan(s->tick, now, told || k == steps);
    }
    *ran = k;
    return told;
}
