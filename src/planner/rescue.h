/* Way out of deadlocks: for a unit that has come no nearer to its goal for long, a sequence of
 * single moves into free cells that brings it there, others making room.
 *
 * The floor around the unit is held still while the sequence is searched for, a bounded piece of
 * work a step; then the units concerned carry it out, and nobody else enters its cells until it is
 * done. Nothing here allocates after rs_rescue_init, and nothing depends on the clock. */
#ifndef RS_PLANNER_RESCUE_H
#define RS_PLANNER_RESCUE_H

#include <stdint.h>

#include "grid.h"

/* A unit is rescued that has gone first for so many steps without coming nearer to its goal; any
 * unit when nobody at all has come nearer for a shorter time. */
enum { RS_RESCUE_STALL = 100, RS_RESCUE_QUIET = 30 };

enum { RS_RESCUE_IDLE = 0, RS_RESCUE_SEARCH = 1, RS_RESCUE_SCRIPT = 2 };

/* What the planner knows of this step; cells are dense ids, masks are [cells]. */
typedef struct {
    const int32_t *cell, *goal; /* [units], goal -1: none */
    const uint8_t *heading;     /* [units] */
    const uint8_t *loaded;      /* [units] or NULL */
    const uint8_t *frozen;      /* [units] or NULL */
    const uint8_t *standing, *blocked;
    const int32_t *occupant;    /* [places*stride] unit in the place, or -1 */
    int32_t stride;
} rs_rescue_floor;

typedef struct {
    int32_t unit, from, to, heading;
    int32_t after;   /* the move that must have left `to` before, or -1 */
    uint8_t done, moving;
} rs_rescue_move;

typedef struct {
    int32_t parent, macro, cost, next;
    int8_t single; /* some move on the way here was of another unit by itself */
    int8_t driven; /* the first unit's macros have been tried */
} rs_rescue_node;

/* Arrangements to go on from, by cost and steps left: lists in order of arrival. */
typedef struct {
    int32_t *first, *last;
    int32_t least;
} rs_rescue_queue;

typedef struct {
    const rs_grid *grid;
    int32_t units;
    /* Who is stuck. */
    int32_t *nearest, *stalled, *retry, *last_goal; /* [units] */
    uint8_t *tries, *fails;                         /* [units] */
    int32_t now, wanted, quiet;
    int64_t rescues; /* scripts carried out so far */
    /* What the planner has to keep to when the stage is not idle. */
    int stage;
    uint8_t *held;    /* [units] 1: the unit does `action` and nothing else */
    uint8_t *action;  /* [units] */
    uint8_t *closed;  /* [cells] cells that the others may not enter */
    /* The rescue under way. */
    int32_t first, goal, target;
    int level;
    int64_t work, work_limit;
    uint8_t *mark;        /* [cells] window, then the cells of the script */
    uint8_t *open;        /* [cells] part of the window that can be driven on */
    uint8_t *standing;    /* [cells] as the search began */
    int32_t *steps;       /* [cells] moves from the cell to the goal, or -1 */
    int32_t *queue;       /* [2*cells] scratch */
    int32_t members;      /* units in the window that can move; the first is number 0 */
    int32_t *member;      /* [units] their numbers */
    uint8_t *laden;       /* [units] of a member: loaded */
    int32_t *own_goal;    /* [units] of a member: storage cell a loaded one may enter, or -1 */
    uint64_t *kind;       /* [units] of a member: members of one kind are alike */
    int32_t *start;       /* [units] of a member: where it is */
    /* The arrangement at hand. */
    int32_t *at;          /* [units] of a member */
    int32_t *who;         /* [cells] member, or -1 */
    uint64_t hash;
    rs_rescue_move *move; /* moves since the arrangement that was loaded */
    int32_t moves;
    int32_t *via;         /* [2*cells] chain search: state before */
    int32_t *carrier;     /* [2*cells] */
    uint32_t *seen;       /* [2*cells] number of the chain search that has seen the state */
    uint32_t *keep;       /* [cells] number of the macro that keeps the cell clear */
    uint32_t chain, clear;
    /* Arrangements met. */
    rs_rescue_node *node;
    int32_t nodes, nodes_limit;
    int32_t closest;      /* the one with the first unit nearest to its goal, the first of these */
    int32_t *arrangement; /* [nodes*members] */
    int64_t room;         /* numbers that fit into it */
    rs_rescue_queue open_nodes[2]; /* for macros of the first unit, and for single moves */
    int exhausted;                 /* nothing is left to go on from */
    int turn_of;                   /* the one that is next */
    uint64_t *table;      /* hashes of the arrangements met, 0: free */
    int32_t *path;        /* [nodes] scratch */
    /* The script. */
    rs_rescue_move *script;
    int32_t script_moves, script_first, idle;
    int32_t *turn;        /* [units] last pass that saw a move of the unit */
    int32_t passes;
    int32_t *event;       /* [cells] last move from or to the cell, scratch */
} rs_rescue;

int rs_rescue_init(rs_rescue *rescue, const rs_grid *grid, int32_t units);
void rs_rescue_free(rs_rescue *rescue);

/* Before units choose: goes on with the rescue under way, or begins the one that is wanted. */
void rs_rescue_step(rs_rescue *rescue, const rs_rescue_floor *floor);

/* Once distances (travel cost to each goal) are known: notes who comes nearer. overdue: [units]
 * steps for which the unit has gone first, negative when it does not. */
void rs_rescue_watch(rs_rescue *rescue, const rs_rescue_floor *floor, const int32_t *distance,
                     const int32_t *overdue);

#endif
