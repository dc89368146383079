#include "traffic/tick.h"

#include <math.h>

int32_t rs_tick_begin(rs_tick *t, double now)
{
    double late = now + RS_TICK_EARLY - t->next;
    if (late < 0.0)
        return 0;
    t->now = now;
    t->next += t->period * (1.0 + floor(late / t->period));
    return 1;
}

int32_t rs_tick_halts(const rs_tick *t)
{
    rs_execution_view v;
    rs_execution_get_view(t->execution, &v);
    double newest = -INFINITY;
    for (int32_t u = 0; u < t->units; u++)
        newest = v.stamp[u] > newest ? v.stamp[u] : newest;
    for (int32_t u = 0; u < t->units; u++) {
        int halted = t->status[u] >= RS_TICK_HALTS || v.stamp[u] < newest - t->silence ||
                     t->fenced[u];
        if (halted != t->halted[u])
            return 1;
    }
    return 0;
}

/* What the planner is told of a unit. */
static void describe(const rs_tick *t, const rs_execution_view *v, int32_t u, int32_t i)
{
    int going = t->phase[u] == RS_ERRAND_GOING;
    int32_t goal = t->goal[u];
    /* A unit that was pushed away from the goal of its last errand goes back there, unless another
     * one is to come to that cell. (At a goal, only -1 makes the planner let it rest.) */
    int rests = !going && goal >= 0 && (t->wanted[goal] || v->end_cell[u] == goal);
    t->cell[i] = v->end_cell[u];
    t->heading[i] = v->end_heading[u];
    t->aim[i] = rests ? -1 : goal;
    t->weight[i] = going ? t->priority[u] + (float)t->under_way : 0.0f;
    /* Planned steps lie between now and where this one begins. */
    uint32_t ahead = v->planned[u] - v->done[u];
    t->due[i] = going ? (float)((t->deadline[u] - t->now) / t->move) - (float)ahead : INFINITY;
    t->frozen[i] = ahead >= (uint32_t)t->limit || t->stands[u] || t->operating[u] || t->halted[u];
    t->loaded[i] = t->load[u] != 0;
    if (t->operating[u] && t->operation[u] == RS_TICK_LIFT)
        t->loaded[i] = 1;
    if (t->operating[u] && t->operation[u] == RS_TICK_LOWER)
        t->loaded[i] = 0;
}

/* Writes the action of every unit. */
static int choose(rs_tick *t, const rs_execution_view *v)
{
    for (int32_t u = 0; u < t->units; u++) {
        t->action[u] = RS_ACT_WAIT;
        if (t->phase[u] == RS_ERRAND_GOING)
            t->wanted[t->goal[u]] = 1;
    }
    for (int32_t i = 0; i < t->members; i++)
        describe(t, v, t->member[i], i);
    for (int32_t u = 0; u < t->units; u++)
        if (t->phase[u] == RS_ERRAND_GOING)
            t->wanted[t->goal[u]] = 0;
    rs_planner_input input = {.cell = t->cell, .heading = t->heading, .goal = t->aim,
                              .loaded = t->loaded, .frozen = t->frozen, .priority = t->weight,
                              .due = t->due, .standing = t->standing, .blocked = t->blocked,
                              .iterations = t->iterations};
    int code = rs_planner_step(t->planner, &input, t->chosen, &t->unit);
    if (code) {
        t->unit = t->member[t->unit];
        return code;
    }
    for (int32_t i = 0; i < t->members; i++)
        t->action[t->member[i]] = t->chosen[i];
    return 0;
}

void rs_tick_plan(rs_tick *t)
{
    rs_execution_view v;
    rs_execution_get_view(t->execution, &v);
    t->code = choose(t, &v);
    if (!t->code) {
        t->code = rs_execution_commit(t->execution, t->action, &t->unit);
        t->code += t->code ? RS_TICK_COMMIT : 0;
    }
    t->arrivals = 0;
    for (int32_t u = 0; u < t->units; u++)
        if (t->phase[u] == RS_ERRAND_GOING && v.end_cell[u] == t->goal[u] && !t->halted[u])
            t->arrived[t->arrivals++] = u;
}
