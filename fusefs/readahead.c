/* SPDX-License-Identifier: Apache-2.0 */
#include "fusefs/readahead.h"

#include <stdlib.h>

#include "fusefs/fetch.h"
#include "fusefs/fs.h"
#include "fusefs/listing.h"
#include "fusefs/name.h"

/* Names read in one burst, and how near its end the next one starts. */
enum { BURST_NAMES = 256, MARGIN_NAMES = 128 };

_Static_assert(READAHEAD_HELD >= 2 * BURST_NAMES + MARGIN_NAMES, "what is ahead must stay held");

void readahead_hold_locked(struct fusefs *fs, struct inode *inode)
{
    struct readahead *r = &fs->readahead;
    struct inode *oldest = r->held[r->next];
    r->held[r->next] = inode_ref(inode);
    r->next = (r->next + 1) % READAHEAD_HELD;
    if (oldest) {
        inode_unref(&fs->cache.table, oldest);
    }
}

void readahead_clear_locked(struct fusefs *fs)
{
    for (size_t i = 0; i < READAHEAD_HELD; i++) {
        if (fs->readahead.held[i]) {
            inode_unref(&fs->cache.table, fs->readahead.held[i]);
            fs->readahead.held[i] = NULL;
        }
    }
}

/* Where the next burst starts and ends; false: none is due. The lock is held. */
static bool plan_locked(struct inode *dir, const char *name, size_t *start, size_t *end)
{
    if (!dir->partial || !dir->listing) {
        return false;
    }
    size_t at = listing_index(dir->listing, name);
    bool is_sequential = at == dir->last_looked_up + 1;
    dir->last_looked_up = at;
    if (!is_sequential) {
        dir->read_ahead = 0;
        return false;
    }
    if (dir->read_ahead > at + MARGIN_NAMES) {
        return false;
    }
    *start = dir->read_ahead > at ? dir->read_ahead : at + 1;
    *end = *start + BURST_NAMES;
    if (*end > dir->listing->count) {
        *end = dir->listing->count;
    }
    dir->read_ahead = *start + BURST_NAMES;
    return *start < *end;
}

static void on_burst(void *arg, int rc)
{
    (void)arg;
    (void)rc; /* what could not be read is read when it is looked up */
}

void readahead_note_lookup(struct fusefs *fs, struct inode *dir, const char *name)
{
    struct inode *wanted[BURST_NAMES];
    size_t count = 0;
    size_t start = 0;
    size_t end = 0;
    fs_lock(fs);
    if (!dir->dead && plan_locked(dir, name, &start, &end)) {
        for (size_t i = start; i < end; i++) {
            struct inode *child = inode_find_child(&fs->cache.table, dir, dir->listing->names[i]);
            if (!child) {
                char *path = name_join(dir->path, dir->listing->names[i]);
                child = inode_add(&fs->cache.table, dir, path, INODE_UNKNOWN);
                free(path);
            }
            if (!child->stat_known) {
                readahead_hold_locked(fs, child);
                wanted[count++] = child;
            }
        }
    }
    fs_unlock(fs);
    if (count > 0) {
        fetch_inodes(fs, wanted, count, on_burst, NULL);
    }
}
