/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_PRNG_H
#define COMMON_PRNG_H

/* Seeded generator (splitmix64): equal seeds give equal sequences. Not for secrets. Pure. */
#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline void prng_init(struct prng *p, uint64_t seed)
{
    p->state = seed;
}

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t z = (p->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform enough in [0, bound); bound > 0. */
static inline uint64_t prng_below(struct prng *p, uint64_t bound)
{
    return prng_next(p) % bound;
}

#endif
