#include "tables.h"

#include <stdlib.h>
#include <string.h>

enum { RS_BUCKETS = 256 }; /* > the greatest edge cost, so a ring of buckets never overlaps */

int rs_tables_init(rs_tables *t, const rs_grid *grid, const uint8_t *blocked, int modes,
                   size_t memory)
{
    memset(t, 0, sizeof *t);
    t->grid = grid;
    t->blocked = blocked;
    size_t cells = grid->cells > 0 ? (size_t)grid->cells : 1;
    size_t slots = memory / (cells * sizeof *t->entries);
    if (slots > cells * (size_t)modes)
        slots = cells * (size_t)modes;
    if (slots < 1)
        slots = 1;
    t->slots = (int32_t)slots;
    size_t queue = 12 * cells + 1;
    t->entries = malloc(slots * cells * sizeof *t->entries);
    t->slot_of = malloc(2 * cells * sizeof *t->slot_of);
    t->key_of = malloc(slots * sizeof *t->key_of);
    t->newer = malloc((slots + 1) * sizeof *t->newer);
    t->older = malloc((slots + 1) * sizeof *t->older);
    t->bucket = malloc(RS_BUCKETS * sizeof *t->bucket);
    t->queue_next = malloc(queue * sizeof *t->queue_next);
    t->queue_state = malloc(queue * sizeof *t->queue_state);
    if (!t->entries || !t->slot_of || !t->key_of || !t->newer || !t->older || !t->bucket ||
        !t->queue_next || !t->queue_state) {
        rs_tables_free(t);
        return -1;
    }
    rs_tables_forget(t);
    return 0;
}

void rs_tables_free(rs_tables *t)
{
    free(t->entries);
    free(t->slot_of);
    free(t->key_of);
    free(t->newer);
    free(t->older);
    free(t->bucket);
    free(t->queue_next);
    free(t->queue_state);
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

/* Dijkstra backwards from the goal with a ring of buckets. A heading's nibble is unset until the
 * state is settled; the first settled heading of a cell is its nearest, so it gives the base. */
static void build(rs_tables *t, uint32_t *table, int32_t goal, int loaded)
{
    const rs_grid *g = t->grid;
    int32_t size = 0, pending = 0;
    for (int32_t c = 0; c < g->cells; c++)
        table[c] = RS_ENTRY_EMPTY;
    for (int b = 0; b < RS_BUCKETS; b++)
        t->bucket[b] = -1;
#define PUSH(state_, dist_)                                                                        \
    do {                                                                                           \
        int32_t b_ = (dist_) & (RS_BUCKETS - 1);                                                   \
        t->queue_state[size] = (state_);                                                           \
        t->queue_next[size] = t->bucket[b_];                                                       \
        t->bucket[b_] = size++;                                                                    \
        pending++;                                                                                 \
    } while (0)
    for (int h = 0; h < RS_HEADINGS; h++)
        PUSH(goal * RS_HEADINGS + h, 0);
    for (int32_t dist = 0; pending > 0 && dist < RS_ENTRY_BASE_FAR - 2 * RS_TURN_COST; dist++) {
        int32_t entry = t->bucket[dist & (RS_BUCKETS - 1)];
        t->bucket[dist & (RS_BUCKETS - 1)] = -1;
        while (entry >= 0) {
            int32_t state = t->queue_state[entry];
            entry = t->queue_next[entry];
            pending--;
            int32_t cell = state / RS_HEADINGS;
            int heading = state % RS_HEADINGS;
            uint32_t old = table[cell], shift = 4u * (unsigned)heading;
            if (((old >> shift) & 15u) != RS_ENTRY_UNSET)
                continue;
            uint32_t base = old >> RS_ENTRY_BASE_SHIFT;
            if (base == RS_ENTRY_BASE_FAR) {
                base = (uint32_t)dist;
                old = (base << RS_ENTRY_BASE_SHIFT) | (old & 0xFFFFu);
            }
            old &= ~(UINT32_C(15) << shift);
            old |= ((uint32_t)dist - base) << shift;
            table[cell] = old;
            for (int turn = 1; turn < RS_HEADINGS; turn += 2) {
                int from = (heading + turn) & 3;
                if (((old >> (4 * from)) & 15u) == RS_ENTRY_UNSET)
                    PUSH(cell * RS_HEADINGS + from, dist + RS_TURN_COST);
            }
            int32_t from = g->prev[state];
            if (from >= 0 && !t->blocked[cell] &&
                !(loaded && g->storage[cell] && cell != goal) &&
                ((table[from] >> shift) & 15u) == RS_ENTRY_UNSET)
                PUSH(from * RS_HEADINGS + heading,
                     dist + g->edge_cost[from * RS_HEADINGS + heading]);
        }
    }
#undef PUSH
    t->builds++;
}

const uint32_t *rs_tables_get(rs_tables *t, int32_t goal, int loaded)
{
    int32_t key = goal + (loaded ? t->grid->cells : 0);
    size_t cells = (size_t)t->grid->cells;
    int32_t s = t->slot_of[key];
    if (s >= 0) {
        if (t->older[t->slots] != s) {
            unlink_slot(t, s);
            link_newest(t, s);
        }
        return t->entries + (size_t)s * cells;
    }
    if (t->used < t->slots) {
        s = t->used++;
    } else {
        s = t->newer[t->slots];
        unlink_slot(t, s);
        t->slot_of[t->key_of[s]] = -1;
    }
    link_newest(t, s);
    t->slot_of[key] = s;
    t->key_of[s] = key;
    build(t, t->entries + (size_t)s * cells, goal, loaded);
    return t->entries + (size_t)s * cells;
}
