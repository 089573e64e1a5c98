/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUSEFS_LOCK_NAME_H
#define FUSEFS_LOCK_NAME_H

/*
 * The names of znodes that make up a lock's queue, as kazoo and Curator write and read them. Each client
 * looks at the entries of its own form only and orders them by the ten digits at the end, which the server
 * counts for all of a queue's children together. Pure.
 *
 *      kazoo    Lock, WriteLock              GUID__lock__0000000007
 *               ReadLock                     GUID__rlock__0000000007
 *      Curator  InterProcessMutex            _c_UUID-lock-0000000008
 *               InterProcessReadWriteLock    _c_UUID-__WRIT__0000000009, _c_UUID-__READ__0000000008
 *
 * Who wants to exclude all of them has an entry of each form, made at once. Curator compares a foreign
 * entry's whole name with its own entries' digits; so that it comes after them, and does not count, a GUID of
 * ours begins with a letter.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE };

enum lock_form { LOCK_FORM_KAZOO, LOCK_FORM_MUTEX, LOCK_FORM_READ_WRITE, LOCK_FORM_COUNT };

enum {
    LOCK_GUID_SIZE = 33, /* 32 hexadecimal digits and a NUL */
    LOCK_NAME_SIZE = 64, /* holds any entry's name and a NUL */
};

struct lock_entry {
    enum lock_form form;
    enum lock_mode mode;
    int32_t number;
    char guid[LOCK_GUID_SIZE]; /* a UUID without its dashes */
};

/* False: the name is no entry of a lock's queue. */
bool lock_name_parse(const char *name, struct lock_entry *out);

/* A GUID of 16 random bytes. */
void lock_name_guid(const uint8_t random[16], char out[LOCK_GUID_SIZE]);
/* Whether a lock of this mode has an entry of this form: there is no shared mutex. */
bool lock_name_has_form(enum lock_mode mode, enum lock_form form);
/* An entry's name without its number, for a sequential create. */
void lock_name_prefix(enum lock_form form, enum lock_mode mode, const char *guid,
                      char out[LOCK_NAME_SIZE]);
/* The same with its number. */
void lock_name_print(const struct lock_entry *entry, char out[LOCK_NAME_SIZE]);

/* The znode whose children are the queue of a file's lock: ".zklock.NAME" beside it, since an ephemeral
 * znode has no children and a file that had some would be a directory. The caller frees. */
char *lock_name_queue(const char *path);
/* Not shown when a directory is listed: entries, and files' queues. */
bool lock_name_is_hidden(const char *name);
/* A file's queue. */
bool lock_name_is_queue(const char *name);

#endif
