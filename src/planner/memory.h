/* Arrays that are taken together when something is made, and freed together with it. */
#ifndef RS_PLANNER_MEMORY_H
#define RS_PLANNER_MEMORY_H

#include <stddef.h>

typedef union rs_block rs_block;

typedef struct {
    rs_block *blocks;
    int failed; /* 1: an array could not be had */
} rs_memory;

/* An array of at least one element with all bytes the same: 0, or 0xFF for -1. Zeros take no memory
 * before they are written to where the system gives pages that late. NULL when out of memory. */
void *rs_memory_zeros(rs_memory *memory, size_t count, size_t size);
void *rs_memory_ones(rs_memory *memory, size_t count, size_t size);

void rs_memory_free(rs_memory *memory);

#endif
