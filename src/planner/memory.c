#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

union rs_block {
    rs_block *before;
    max_align_t align; /* the array begins behind the block */
};

void *rs_memory_zeros(rs_memory *memory, size_t count, size_t size)
{
    count = count > 0 ? count : 1;
    rs_block *block = count < (SIZE_MAX - sizeof *block) / size
                          ? calloc(1, sizeof *block + count * size)
                          : NULL;
    if (!block) {
        memory->failed = 1;
        return NULL;
    }
    block->before = memory->blocks;
    memory->blocks = block;
    return block + 1;
}

void *rs_memory_ones(rs_memory *memory, size_t count, size_t size)
{
    void *array = rs_memory_zeros(memory, count, size);
    if (array)
        memset(array, 0xFF, (count > 0 ? count : 1) * size);
    return array;
}

void rs_memory_free(rs_memory *memory)
{
    while (memory->blocks) {
        rs_block *block = memory->blocks;
        memory->blocks = block->before;
        free(block);
    }
}
