#include "alone.h"

#include <stdlib.h>
#include <string.h>

#include "tables.h"

typedef struct {
    rs_grid grid;
    int32_t *time;   /* [cells*4] best known, -1 unknown */
    int32_t *touched;
    int32_t touches;
    int32_t *head;   /* buckets by time plus distance as the crow flies */
    int32_t buckets;
    int32_t *next, *state, size, room;
    int loaded;      /* storage cells are closed but for the goal */
} rs_alone;

static int reach(rs_alone *s, int32_t state, int32_t time, int32_t goal)
{
    if (s->time[state] >= 0 && s->time[state] <= time)
        return 0;
    int32_t bucket = time + rs_crow(&s->grid, state / RS_HEADINGS, goal);
    if (bucket >= s->buckets)
        return 0; /* not within the time at all */
    if (s->size == s->room)
        return -1;
    if (s->time[state] < 0)
        s->touched[s->touches++] = state;
    s->time[state] = time;
    s->state[s->size] = state;
    s->next[s->size] = s->head[bucket];
    s->head[bucket] = s->size++;
    return 0;
}

/* ready[h]: time at which the unit can be at `from` with heading h; becomes the same at `to`. */
static int travel(rs_alone *s, int32_t from, int32_t to, int32_t ready[RS_HEADINGS])
{
    int32_t at_goal[RS_HEADINGS] = {-1, -1, -1, -1};
    int left = RS_HEADINGS, error = 0;
    s->size = s->touches = 0;
    for (int32_t b = 0; b < s->buckets; b++)
        s->head[b] = -1;
    for (int h = 0; h < RS_HEADINGS; h++)
        if (ready[h] >= 0)
            error |= reach(s, from * RS_HEADINGS + h, ready[h], to);
    for (int32_t b = 0; b < s->buckets && left && !error; b++) {
        while (s->head[b] >= 0 && left && !error) {
            int32_t e = s->head[b], state = s->state[e], cell = state / RS_HEADINGS;
            int heading = state % RS_HEADINGS;
            int32_t time = s->time[state];
            s->head[b] = s->next[e];
            if (time + rs_crow(&s->grid, cell, to) != b)
                continue; /* reached earlier by another way */
            if (cell == to && at_goal[heading] < 0) {
                at_goal[heading] = time;
                left--;
            }
            error |= reach(s, cell * RS_HEADINGS + ((heading + 1) & 3), time + 1, to);
            error |= reach(s, cell * RS_HEADINGS + ((heading + 3) & 3), time + 1, to);
            int32_t next = s->grid.next[state];
            if (next >= 0 && !(s->loaded && s->grid.storage[next] && next != to))
                error |= reach(s, next * RS_HEADINGS + heading, time + 1, to);
        }
    }
    for (int32_t i = 0; i < s->touches; i++)
        s->time[s->touched[i]] = -1;
    memcpy(ready, at_goal, sizeof at_goal);
    return error;
}

static void stay(int32_t ready[RS_HEADINGS])
{
    int32_t before[RS_HEADINGS];
    memcpy(before, ready, sizeof before);
    for (int h = 0; h < RS_HEADINGS; h++) {
        ready[h] = -1;
        for (int from = 0; from < RS_HEADINGS; from++) {
            int turns = (h - from) & 3, cost = turns == 0 ? 1 : turns == 3 ? 1 : turns;
            if (before[from] >= 0 && (ready[h] < 0 || before[from] + cost < ready[h]))
                ready[h] = before[from] + cost;
        }
    }
}

static int alone_init(rs_alone *s, int32_t width, int32_t height, const uint8_t *exits,
                      const uint8_t *storage, int32_t steps)
{
    memset(s, 0, sizeof *s);
    if (rs_grid_init(&s->grid, width, height, exits, storage, NULL))
        return -1;
    size_t states = ((size_t)s->grid.cells + 1) * RS_HEADINGS;
    s->buckets = steps + 1;
    s->room = (int32_t)(4 * states);
    s->time = malloc(states * sizeof *s->time);
    s->touched = malloc(states * sizeof *s->touched);
    s->head = malloc((size_t)s->buckets * sizeof *s->head);
    s->next = malloc((size_t)s->room * sizeof *s->next);
    s->state = malloc((size_t)s->room * sizeof *s->state);
    if (!s->time || !s->touched || !s->head || !s->next || !s->state)
        return -1;
    memset(s->time, -1, states * sizeof *s->time);
    return 0;
}

static void alone_free(rs_alone *s)
{
    free(s->time);
    free(s->touched);
    free(s->head);
    free(s->next);
    free(s->state);
    rs_grid_free(&s->grid);
}

int rs_alone_round_robin(int32_t width, int32_t height, const uint8_t *exits, int32_t units,
                         const int32_t *start, int64_t errands, const int32_t *errand,
                         int32_t steps, int32_t *done)
{
    rs_alone s;
    int error = alone_init(&s, width, height, exits, NULL, steps);
    int32_t places = width * height;
    for (int32_t u = 0; u < units && !error; u++) {
        int32_t ready[RS_HEADINGS] = {0, -1, -1, -1};
        int32_t place = start[u], left = 1;
        if (place < 0 || place >= places || s.grid.id_of[place] < 0)
            error = -2;
        done[u] = 0;
        for (int64_t k = u; k < errands && left && !error; k += units) {
            int32_t next = errand[k];
            if (next < 0 || next >= places || s.grid.id_of[next] < 0) {
                error = -2;
            } else if (next == place) {
                stay(ready);
            } else {
                error = travel(&s, s.grid.id_of[place], s.grid.id_of[next], ready);
                place = next;
            }
            left = 0;
            for (int h = 0; h < RS_HEADINGS; h++)
                left |= ready[h] >= 0 && ready[h] <= steps;
            done[u] += left && !error;
        }
    }
    alone_free(&s);
    return error;
}

int rs_alone_legs(int32_t width, int32_t height, const uint8_t *exits, const uint8_t *storage,
                  int32_t legs, const int32_t *from, const uint8_t *heading, const int32_t *to,
                  const uint8_t *loaded, int32_t steps, int32_t *time)
{
    rs_alone s;
    int32_t places = width * height;
    int error = alone_init(&s, width, height, exits, storage, steps);
    for (int32_t i = 0; i < legs && !error; i++) {
        int32_t ready[RS_HEADINGS] = {-1, -1, -1, -1};
        if (from[i] < 0 || from[i] >= places || s.grid.id_of[from[i]] < 0 || to[i] < 0 ||
            to[i] >= places || s.grid.id_of[to[i]] < 0) {
            error = -2;
            break;
        }
        ready[heading[i] & 3] = 0;
        s.loaded = loaded[i];
        error = travel(&s, s.grid.id_of[from[i]], s.grid.id_of[to[i]], ready);
        time[i] = -1;
        for (int h = 0; h < RS_HEADINGS; h++)
            if (ready[h] >= 0 && (time[i] < 0 || ready[h] < time[i]))
                time[i] = ready[h];
    }
    alone_free(&s);
    return error;
}
