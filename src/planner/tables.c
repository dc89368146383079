#include "tables.h"

#include <string.h>

enum {
    RS_BUCKETS = 1 << 17,        /* > the greatest distance plus the greatest guidance */
    RS_WHOLE_TABLE_CELLS = 8192, /* up to here tables are filled at once: units share them */
    RS_MARGIN = 10 * RS_STEP_COST, /* filled beyond the asking unit's own best ways */
};

int rs_tables_init(rs_tables *t, const rs_grid *grid, const uint8_t *blocked, int modes,
                   size_t memory, int32_t queues)
{
    memset(t, 0, sizeof *t);
    t->grid = grid;
    t->blocked = blocked;
    t->max_age = INT32_MAX;
    t->whole = grid->cells <= RS_WHOLE_TABLE_CELLS;
    size_t cells = grid->cells > 0 ? (size_t)grid->cells : 1;
    size_t slots = memory / (cells * sizeof *t->entries);
    if (slots > cells * (size_t)modes)
        slots = cells * (size_t)modes;
    if (slots < 2)
        slots = 2; /* a unit uses two at a time */
    t->slots = (int32_t)slots;
    rs_memory *m = &t->memory;
    size_t queue = 12 * cells + RS_HEADINGS;
    t->entries = rs_memory_zeros(m, slots * cells, sizeof *t->entries);
    t->slot_of = rs_memory_zeros(m, 2 * cells, sizeof *t->slot_of);
    t->state = rs_memory_zeros(m, slots, sizeof *t->state);
    t->newer = rs_memory_zeros(m, slots + 1, sizeof *t->newer);
    t->older = rs_memory_zeros(m, slots + 1, sizeof *t->older);
    t->queue = rs_memory_zeros(m, (size_t)queues, sizeof *t->queue);
    for (int32_t i = 0; i < queues && !m->failed; i++) {
        rs_table_queue *q = &t->queue[i];
        q->bucket = rs_memory_ones(m, RS_BUCKETS, sizeof *q->bucket);
        q->next = rs_memory_zeros(m, queue, sizeof *q->next);
        q->state = rs_memory_zeros(m, queue, sizeof *q->state);
    }
    if (m->failed) {
        rs_tables_free(t);
        return -1;
    }
    t->queues = queues;
    rs_tables_forget(t);
    return 0;
}

void rs_tables_free(rs_tables *t)
{
    rs_memory_free(&t->memory);
    memset(t, 0, sizeof *t);
}

void rs_tables_forget(rs_tables *t)
{
    memset(t->slot_of, -1, 2 * (size_t)t->grid->cells * sizeof *t->slot_of);
    t->used = 0;
    t->newer[t->slots] = t->older[t->slots] = t->slots;
}

static void unlink_slot(rs_tables *t, int32_t s)
{
    t->older[t->newer[s]] = t->older[s];
    t->newer[t->older[s]] = t->newer[s];
}

static void link_newest(rs_tables *t, int32_t s)
{
    int32_t head = t->slots, first = t->older[head];
    t->newer[s] = head;
    t->older[s] = first;
    t->older[head] = s;
    t->newer[first] = s;
}

static inline int32_t guidance(const rs_tables *t, int32_t cell, int32_t anchor)
{
    return anchor < 0 ? 0 : RS_STEP_COST * rs_crow(t->grid, cell, anchor);
}

static void clear_queue(rs_table_queue *q)
{
    q->size = 0;
    q->least = RS_BUCKETS;
    q->most = -1;
}

static inline void push(rs_table_queue *q, int32_t state, int32_t total)
{
    if (total >= RS_BUCKETS)
        return;
    int32_t e = q->size++;
    q->state[e] = state;
    q->next[e] = q->bucket[total];
    q->bucket[total] = e;
    q->least = total < q->least ? total : q->least;
    q->most = total > q->most ? total : q->most;
}

static inline int unset(uint32_t entry, int heading)
{
    return ((entry >> (4 * heading)) & 15u) == RS_ENTRY_UNSET;
}

/* Queues the states from which (cell, heading) is reached by one action and that are not filled. */
static inline void push_before(const rs_tables *t, rs_table_queue *q, const uint32_t *table,
                               const rs_table_state *k, int32_t cell, int heading,
                               int32_t distance)
{
    const rs_grid *g = t->grid;
    int32_t goal = k->key % g->cells, loaded = k->key >= g->cells;
    for (int turn = 1; turn < RS_HEADINGS; turn += 2) {
        int from = (heading + turn) & 3;
        if (unset(table[cell], from))
            push(q, cell * RS_HEADINGS + from,
                 distance + RS_TURN_COST + guidance(t, cell, k->anchor));
    }
    int32_t from = g->prev[cell * RS_HEADINGS + heading];
    if (from >= 0 && !t->blocked[cell] && !(loaded && g->storage[cell] && cell != goal) &&
        unset(table[from], heading))
        push(q, from * RS_HEADINGS + heading,
             distance + g->edge_cost[from * RS_HEADINGS + heading] + guidance(t, from, k->anchor));
}

static int filled(uint32_t entry)
{
    return !unset(entry, 0) && !unset(entry, 1) && !unset(entry, 2) && !unset(entry, 3);
}

/* Dijkstra backwards, or A* towards the anchor, in buckets of total distance. A heading's nibble is
 * unset until the state is settled; the first settled heading of a cell is its nearest, so it gives
 * the base. Stops a margin beyond the anchor. */
static void search(const rs_tables *t, rs_table_queue *q, uint32_t *table, rs_table_state *k,
                   int32_t from)
{
    int32_t limit = RS_BUCKETS - 1, total = q->least;
    for (; total <= q->most && total <= limit; total++) {
        while (q->bucket[total] >= 0) {
            int32_t e = q->bucket[total], state = q->state[e];
            int32_t cell = state / RS_HEADINGS, heading = state % RS_HEADINGS;
            uint32_t shift = 4u * (uint32_t)heading, entry = table[cell];
            q->bucket[total] = q->next[e];
            if (!unset(entry, heading))
                continue;
            int32_t distance = total - guidance(t, cell, k->anchor);
            int32_t base = (int32_t)(entry >> RS_ENTRY_BASE_SHIFT);
            if (distance >= RS_ENTRY_BASE_FAR - 2 * RS_TURN_COST)
                continue;
            if (base == RS_ENTRY_BASE_FAR) {
                base = distance;
                entry = ((uint32_t)base << RS_ENTRY_BASE_SHIFT) | (entry & 0xFFFFu);
            }
            /* Edge costs may have changed since the search began: keep the offset in range. */
            int32_t more = distance - base;
            more = more < 0 ? 0 : more > 2 * RS_TURN_COST ? 2 * RS_TURN_COST : more;
            entry &= ~(UINT32_C(15) << shift);
            table[cell] = entry | (uint32_t)more << shift;
            push_before(t, q, table, k, cell, heading, distance);
        }
        if (k->anchor >= 0 && limit == RS_BUCKETS - 1 && filled(table[from]))
            limit = total + RS_MARGIN;
    }
    k->reach = total > q->most ? RS_FAR : total;
    for (; total <= q->most; total++)
        q->bucket[total] = -1;
    q->searches++;
}

static void build(const rs_tables *t, rs_table_queue *q, int32_t s, int32_t from)
{
    const rs_grid *g = t->grid;
    uint32_t *table = t->entries + (size_t)s * (size_t)g->cells;
    rs_table_state *k = &t->state[s];
    int32_t goal = k->key % g->cells;
    for (int32_t c = 0; c < g->cells; c++)
        table[c] = RS_ENTRY_EMPTY;
    k->anchor = t->whole ? -1 : from;
    k->stale = 0;
    clear_queue(q);
    for (int h = 0; h < RS_HEADINGS; h++)
        push(q, goal * RS_HEADINGS + h, guidance(t, goal, k->anchor));
    search(t, q, table, k, from);
}

/* Goes on with the search towards another unit. */
static void extend(const rs_tables *t, rs_table_queue *q, int32_t s, int32_t from)
{
    const rs_grid *g = t->grid;
    uint32_t *table = t->entries + (size_t)s * (size_t)g->cells;
    rs_table_state *k = &t->state[s];
    k->anchor = from;
    clear_queue(q);
    for (int32_t c = 0; c < g->cells; c++) {
        int32_t base = (int32_t)(table[c] >> RS_ENTRY_BASE_SHIFT);
        for (int h = 0; h < RS_HEADINGS; h++)
            if (!unset(table[c], h))
                push_before(t, q, table, k, c, h, base + (int32_t)((table[c] >> (4 * h)) & 15u));
    }
    search(t, q, table, k, from);
}

uint64_t rs_tables_searches(const rs_tables *t)
{
    uint64_t searches = 0;
    for (int32_t i = 0; i < t->queues; i++)
        searches += t->queue[i].searches;
    return searches;
}

int32_t rs_tables_slot(rs_tables *t, int32_t goal, int loaded)
{
    int32_t key = goal + (loaded ? t->grid->cells : 0);
    int32_t s = t->slot_of[key];
    if (s >= 0) {
        if (t->older[t->slots] != s) {
            unlink_slot(t, s);
            link_newest(t, s);
        }
        /* Spread over as many steps again, so that tables made together do not expire together. */
        int32_t made = t->state[s].age, spare = t->max_age < INT32_MAX ? key % (t->max_age + 1) : 0;
        if (t->now - made - spare <= t->max_age || t->changed < made || t->renewals <= 0)
            return s;
        t->renewals--;
    } else {
        if (t->used < t->slots) {
            s = t->used++;
        } else {
            s = t->newer[t->slots];
            unlink_slot(t, s);
            t->slot_of[t->state[s].key] = -1;
        }
        link_newest(t, s);
        t->slot_of[key] = s;
        t->state[s].key = key;
    }
    t->state[s].stale = 1;
    t->state[s].age = t->now;
    return s;
}

void rs_tables_fill(const rs_tables *t, int32_t queue, int32_t slot, int32_t from)
{
    size_t cells = (size_t)t->grid->cells;
    if (t->state[slot].stale)
        build(t, &t->queue[queue], slot, from);
    if (t->entries[(size_t)slot * cells + (size_t)from] == RS_ENTRY_EMPTY &&
        t->state[slot].reach < RS_FAR)
        extend(t, &t->queue[queue], slot, from);
}

rs_table rs_tables_at(const rs_tables *t, int32_t slot)
{
    const uint32_t *entry = t->entries + (size_t)slot * (size_t)t->grid->cells;
    return (rs_table){entry, t->grid, t->state[slot].anchor, t->state[slot].reach};
}

rs_table rs_tables_get(rs_tables *t, int32_t goal, int loaded, int32_t from)
{
    int32_t slot = rs_tables_slot(t, goal, loaded);
    rs_tables_fill(t, 0, slot, from);
    return rs_tables_at(t, slot);
}
