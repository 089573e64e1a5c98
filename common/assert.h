/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMMON_ASSERT_H
#define COMMON_ASSERT_H

/*
 * An assertion that stays on in release builds. A failed one is our own bug: a replica that stops is
 * recovered by the others, one that goes on with a broken invariant is not. Never use it on bytes that
 * came from a client, a peer or a disk. Split compound conditions: each line says one thing.
 */
#define zk_assert(cond)                                                                            \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            zk_assert_fail(#cond, __FILE__, __LINE__, __func__);                                   \
        }                                                                                          \
    } while (0)

/* Prints the condition and where it stood, then aborts. */
_Noreturn void zk_assert_fail(const char *cond, const char *file, int line, const char *func);

#endif
