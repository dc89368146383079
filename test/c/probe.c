/* Answers of the planner's inner functions, for test_oracle.py to compare with plain rules. The
 * test builds it into a library of its own, with the planner's sources. */
#include <stdlib.h>
#include <string.h>

#include "planner/candidates.h"
#include "planner/joint.h"

typedef struct {
    int32_t width, height;
    const uint8_t *exits, *storage, *standing, *blocked; /* [height*width] */
    int32_t depth, allow_rotation;
} probe_floor;

typedef struct {
    rs_grid grid;
    rs_operations ops;
    uint8_t *standing, *blocked;
} probe;

static void open_probe(probe *p, const probe_floor *f)
{
    rs_grid_init(&p->grid, f->width, f->height, f->exits, f->storage, NULL);
    rs_operations_init(&p->ops, f->depth, f->width);
    p->standing = calloc((size_t)p->grid.cells + 1, 1);
    p->blocked = calloc((size_t)p->grid.cells + 1, 1);
    for (int32_t c = 0; c < p->grid.cells; c++) {
        p->standing[c] = f->standing[p->grid.place_of[c]];
        p->blocked[c] = f->blocked[p->grid.place_of[c]];
    }
}

static void close_probe(probe *p)
{
    free(p->standing);
    free(p->blocked);
    rs_grid_free(&p->grid);
}

static int32_t list(const probe *p, int32_t cell, int32_t heading, int32_t goal, int loaded,
                    int frozen, int16_t *op, uint16_t *cost)
{
    rs_table none = {0};
    rs_situation unit = {.cell = p->grid.id_of[cell], .heading = heading, .goal = -1,
                         .loaded = loaded, .frozen = frozen, .next_goal = -1, .table = none,
                         .next_table = none, .standing = p->standing, .blocked = p->blocked};
    rs_tables tables;
    rs_tables_init(&tables, &p->grid, p->blocked, 2, 1 << 20, 1);
    if (goal >= 0) {
        unit.goal = p->grid.id_of[goal];
        unit.table = rs_tables_get(&tables, unit.goal, loaded, unit.cell);
    }
    int32_t count = rs_candidates(&p->grid, &p->ops, &unit, op, cost);
    rs_tables_free(&tables);
    return count;
}

/* Actions of an operation, by the tree of operations. */
static void actions_of(const rs_operations *ops, int16_t op, uint8_t *actions)
{
    for (int d = 0; d < ops->depth; d++, op = ops->tail[op])
        actions[d] = ops->first[op];
}

/* Where an operation leads: cells, [depth]. */
static void cells_of(const rs_operations *ops, int16_t op, int32_t cell, int32_t heading,
                     int32_t *cells)
{
    for (int d = 0; d < ops->depth; d++)
        cells[d] = cell + (ops->slot[heading][op][d] - d - 1) / RS_OCCUPANCY_STRIDE;
}

/* The candidates of one unit: their actions and cells, [count*depth] each. */
int32_t probe_candidates(const probe_floor *f, int32_t cell, int32_t heading, int32_t goal,
                         int32_t loaded, int32_t frozen, uint8_t *actions, int32_t *cells)
{
    static int16_t found[RS_OPS_MAX];
    static uint16_t cost[RS_OPS_MAX];
    probe p;
    open_probe(&p, f);
    int32_t count = list(&p, cell, heading, goal, loaded, frozen, found, cost);
    for (int32_t k = 0; k < count; k++) {
        actions_of(&p.ops, found[k], actions + k * f->depth);
        cells_of(&p.ops, found[k], cell, heading, cells + k * f->depth);
    }
    close_probe(&p);
    return count;
}

/* Units take the candidates choice[u], one after the other, as long as nobody is in the way.
 * clash[u]: what rs_joint_clash said of it. taken[u]: cells, [depth]. Returns 1. */
int32_t probe_plan(const probe_floor *f, int32_t units, const int32_t *cell, const int32_t *heading,
                   const int32_t *goal, const uint8_t *loaded, const int32_t *choice,
                   int32_t *clash, int32_t *taken)
{
    probe p;
    rs_joint joint;
    open_probe(&p, f);
    rs_joint_init(&joint, &p.grid, &p.ops, units, f->allow_rotation);
    for (int32_t u = 0; u < units; u++) {
        int64_t first = (int64_t)u * p.ops.count;
        joint.place[u] = cell[u];
        joint.heading[u] = (uint8_t)heading[u];
        *rs_joint_here(&joint, u) = u;
        joint.candidates[u] = list(&p, cell[u], heading[u], goal[u], loaded[u], 0, joint.op + first,
                                   joint.cost + first);
    }
    for (int32_t u = 0; u < units; u++) {
        int32_t k = choice[u] % joint.candidates[u];
        int depth = 0;
        int16_t op = rs_joint_op(&joint, u, k);
        clash[u] = rs_joint_clash(&joint, u, op, &depth);
        if (clash[u] == RS_CLASH_NONE)
            rs_joint_take(&joint, u, k);
        cells_of(&p.ops, op, cell[u], heading[u], taken + u * f->depth);
    }
    rs_joint_free(&joint);
    close_probe(&p);
    return 1;
}

/* The final check of a joint step. */
int32_t probe_safe(const probe_floor *f, int32_t units, const int32_t *cell, const uint8_t *heading,
                   const uint8_t *action)
{
    probe p;
    rs_joint joint;
    open_probe(&p, f);
    rs_joint_init(&joint, &p.grid, &p.ops, units, f->allow_rotation);
    int32_t places = f->width * f->height;
    int32_t *claimed = malloc((size_t)places * sizeof *claimed);
    memset(claimed, -1, (size_t)places * sizeof *claimed);
    for (int32_t u = 0; u < units; u++) {
        joint.place[u] = cell[u];
        joint.heading[u] = heading[u];
        *rs_joint_here(&joint, u) = u;
    }
    int safe = rs_joint_safe(&joint, action, claimed);
    for (int32_t c = 0; c < places; c++)
        safe = claimed[c] == -1 ? safe : -1;
    free(claimed);
    rs_joint_free(&joint);
    close_probe(&p);
    return safe;
}
