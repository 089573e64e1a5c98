/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/address_table.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/list.h"
#include "common/xalloc.h"

struct entry {
    struct hlink by_host;
    int count; /* connections, at least 1 */
    char host[];
};

void address_table_init(struct address_table *t, uint64_t seed)
{
    htable_init(&t->by_host);
    t->seed = seed;
}

void address_table_fini(struct address_table *t)
{
    zk_assert(t->by_host.count == 0);
    htable_fini(&t->by_host);
}

static struct entry *find_entry(const struct address_table *t, const char *host, uint64_t hash)
{
    for (struct hlink *l = htable_first(&t->by_host, hash); l; l = hlink_next(l, hash)) {
        struct entry *entry = list_entry(l, struct entry, by_host);
        if (strcmp(entry->host, host) == 0) {
            return entry;
        }
    }
    return NULL;
}

int address_table_add(struct address_table *t, const char *host)
{
    uint64_t hash = hash_bytes(host, strlen(host), t->seed);
    struct entry *entry = find_entry(t, host, hash);
    if (!entry) {
        size_t size = strlen(host) + 1;
        entry = xmalloc(sizeof(*entry) + size);
        entry->count = 0;
        memcpy(entry->host, host, size);
        htable_insert(&t->by_host, &entry->by_host, hash);
    }
    return ++entry->count;
}

void address_table_drop(struct address_table *t, const char *host)
{
    struct entry *entry = find_entry(t, host, hash_bytes(host, strlen(host), t->seed));
    zk_assert(entry != NULL);
    if (--entry->count == 0) {
        htable_remove(&t->by_host, &entry->by_host);
        free(entry);
    }
}
