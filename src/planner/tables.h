/* Distances to a goal over (cell, heading), one table a goal and load mode, made when first asked
 * for and kept within a fixed memory (least recently used goes first). */
#ifndef RS_PLANNER_TABLES_H
#define RS_PLANNER_TABLES_H

#include <stddef.h>
#include <stdint.h>

#include "grid.h"

#define RS_FAR INT32_C(1000000000)

/* A table entry packs the four headings of a cell: the smallest of the four distances above, four
 * nibbles of what each heading costs more below. Turning in place bounds that by two turns. */
enum { RS_ENTRY_BASE_SHIFT = 16, RS_ENTRY_UNSET = 15, RS_ENTRY_BASE_FAR = 0xFFFF };
#define RS_ENTRY_EMPTY UINT32_C(0xFFFFFFFF)

typedef struct {
    const rs_grid *grid;
    const uint8_t *blocked; /* [cells] nobody can enter; the owner calls rs_tables_forget on change */
    int32_t slots;          /* tables that fit into the memory */
    uint32_t *entries;      /* [slots*cells], touched only as tables are made */
    int32_t *slot_of;       /* [2*cells] slot of (mode, goal), or -1 */
    int32_t *key_of;        /* [slots] what the slot holds, or -1 */
    int32_t *newer, *older; /* [slots+1] list by last use; index `slots` is its head */
    int32_t used;
    uint64_t builds;        /* tables made so far */
    /* bucket queue of the search */
    int32_t *bucket;        /* [RS_BUCKETS] newest entry, or -1 */
    int32_t *queue_next;    /* [12*cells+1] */
    int32_t *queue_state;
} rs_tables;

int rs_tables_init(rs_tables *tables, const rs_grid *grid, const uint8_t *blocked, int modes,
                   size_t memory);
void rs_tables_free(rs_tables *tables);
void rs_tables_forget(rs_tables *tables);

/* The table to `goal` (dense id); loaded: storage cells are closed but for the goal and the start.
 * Valid until the next call. */
const uint32_t *rs_tables_get(rs_tables *tables, int32_t goal, int loaded);

static inline int32_t rs_distance(const uint32_t *table, int32_t cell, int heading)
{
    uint32_t entry = table[cell];
    uint32_t base = entry >> RS_ENTRY_BASE_SHIFT, more = (entry >> (4 * heading)) & 15u;
    return base == RS_ENTRY_BASE_FAR ? RS_FAR : (int32_t)(base + more);
}

#endif
