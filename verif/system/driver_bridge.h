/* The driver's accesses as lines of text, for a simulation that carries them out: see verif/system/driver_run.py. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint32_t bridge_answer(void)
{
    uint32_t value;
    fflush(stdout);
    if (scanf("%" SCNx32, &value) != 1)
        exit(4);
    return value;
}

static uint32_t bridge_read(uint32_t offset)
{
    printf("R %" PRIx32 "\n", offset);
    return bridge_answer();
}

static uint32_t bridge_irq(void)
{
    puts("I");
    return bridge_answer();
}

#define HAYATE_READ32(offset) bridge_read(offset)
#define HAYATE_WRITE32(offset, value) ((void)printf("W %" PRIx32 " %" PRIx32 "\n", (uint32_t)(offset), (uint32_t)(value)))
#ifndef HAYATE_HOST_32
#define HAYATE_WRITE64(address, data) ((void)printf("L %" PRIx64 " %" PRIx64 "\n", (uint64_t)(address), (uint64_t)(data)))
#endif
