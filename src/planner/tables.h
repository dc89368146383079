/* Distances to a goal over (cell, heading), one table a goal and load mode, made when first asked
 * for and kept within a fixed memory (least recently used goes first).
 *
 * On large floors a table is only filled where the units that ask for it need it: the search runs
 * backwards from the goal, guided towards the asking unit, and goes on from where it stopped when a
 * unit asks from outside (as reverse resumable A*, Silver 2005). */
#ifndef RS_PLANNER_TABLES_H
#define RS_PLANNER_TABLES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "grid.h"
#include "memory.h"

#define RS_FAR INT32_C(1000000000)

/* A table entry packs the four headings of a cell: the smallest of the four distances above, four
 * nibbles of what each heading costs more below. Turning in place bounds that by two turns. */
enum { RS_ENTRY_BASE_SHIFT = 16, RS_ENTRY_UNSET = 15, RS_ENTRY_BASE_FAR = 0xFFFF };
#define RS_ENTRY_EMPTY UINT32_C(0xFFFFFFFF)

typedef struct {
    int32_t key;    /* mode and goal, or -1 */
    int32_t anchor; /* cell towards which the search was guided, or -1 */
    int32_t reach;  /* all states are filled whose distance plus distance to the anchor is less */
    int32_t age;    /* step in which it was made */
    int stale;      /* 1: to be made (anew) */
} rs_table_state;

/* What a search needs; one for each thread that fills tables. */
typedef struct {
    int32_t *bucket;     /* [RS_BUCKETS] newest entry of the queue, or -1 */
    int32_t *next;       /* [12*cells+1] */
    int32_t *state;
    int32_t size;
    int32_t least, most; /* totals in the queue */
    uint64_t searches;   /* so far */
} rs_table_queue;

typedef struct {
    const rs_grid *grid;
    const uint8_t *blocked; /* [cells] nobody can enter; the owner calls rs_tables_forget on change */
    int32_t slots;          /* tables that fit into the memory */
    uint32_t *entries;      /* [slots*cells], touched only as tables are made */
    int32_t *slot_of;       /* [2*cells] slot of (mode, goal), or -1 */
    rs_table_state *state;  /* [slots] */
    int32_t *newer, *older; /* [slots+1] list by last use; index `slots` is its head */
    int32_t used;
    int whole;              /* the floor is small: tables are filled at once and shared by units */
    int32_t now;            /* step, for the age of tables; set by the owner */
    int32_t max_age;        /* steps after which a table is made afresh ... */
    int32_t changed;        /* ... if edge costs have changed since it was made, ... */
    int32_t renewals;       /* ... and so many others have not been yet in this step */
    rs_table_queue *queue;  /* [queues] */
    int32_t queues;
    rs_memory memory;
} rs_tables;

/* A table as seen by one unit, valid until the next rs_tables_get but one. */
typedef struct {
    const uint32_t *entry;
    const rs_grid *grid;
    int32_t anchor, reach;
} rs_table;

int rs_tables_init(rs_tables *tables, const rs_grid *grid, const uint8_t *blocked, int modes,
                   size_t memory, int32_t queues);
void rs_tables_free(rs_tables *tables);
void rs_tables_forget(rs_tables *tables);

uint64_t rs_tables_searches(const rs_tables *tables);

/* The table to `goal` (dense id), exact at least at the cell `from`; loaded: storage cells are
 * closed but for the goal and the start. */
rs_table rs_tables_get(rs_tables *tables, int32_t goal, int loaded, int32_t from);

/* The same in pieces: slots of up to `slots` different tables are looked up first, then threads
 * with queues of their own fill different slots at the same time, then tables are read. */
int32_t rs_tables_slot(rs_tables *tables, int32_t goal, int loaded);
void rs_tables_fill(const rs_tables *tables, int32_t queue, int32_t slot, int32_t from);
rs_table rs_tables_at(const rs_tables *tables, int32_t slot);

static inline int32_t rs_crow(const rs_grid *grid, int32_t cell, int32_t other)
{
    return abs(grid->row[cell] - grid->row[other]) + abs(grid->col[cell] - grid->col[other]);
}

/* Distance, or a lower bound where the table is not filled, or RS_FAR when there is no way. */
static inline int32_t rs_distance(const rs_table *table, int32_t cell, int heading)
{
    uint32_t entry = table->entry[cell];
    int32_t base = (int32_t)(entry >> RS_ENTRY_BASE_SHIFT);
    int32_t more = (int32_t)(entry >> (4 * heading)) & 15;
    if (base != RS_ENTRY_BASE_FAR)
        return base + (more == RS_ENTRY_UNSET ? 2 * RS_TURN_COST : more);
    if (table->anchor < 0 || table->reach >= RS_FAR)
        return RS_FAR;
    base = table->reach - RS_STEP_COST * rs_crow(table->grid, cell, table->anchor);
    return base > 0 ? base : 0;
}

#endif
