/* SPDX-License-Identifier: Apache-2.0 */
#include "server/core/history.h"
#include "server/tree/mutant.h"

#include <stdlib.h>
#include <string.h>

#include "common/assert.h"
#include "common/xalloc.h"

static void proposal_free(struct proposal *p)
{
    buf_fini(&p->entry);
    free(p);
}

static void free_all(struct list *l)
{
    struct list *it;
    while ((it = list_pop_front(l)) != NULL) {
        proposal_free(list_entry(it, struct proposal, line));
    }
}

void history_init(struct history *h, int64_t zxid, int32_t recent_max)
{
    list_init(&h->inflight);
    list_init(&h->recent);
    list_init(&h->delivered);
    h->recent_max = recent_max;
    history_reset(h, zxid);
}

void history_fini(struct history *h)
{
    free_all(&h->inflight);
    free_all(&h->recent);
    free_all(&h->delivered);
}

void history_reset(struct history *h, int64_t zxid)
{
    history_fini(h);
    h->inflight_count = 0;
    h->recent_count = 0;
    h->recent_bytes = 0;
    h->before_recent = zxid;
    h->log_from_zxid = zxid;
    h->logged_zxid = zxid;
    h->synced_zxid = zxid;
    h->committed_zxid = zxid;
    h->delivered_zxid = zxid;
}

static struct proposal *proposal_new(int64_t zxid, const void *entry, size_t len)
{
    struct proposal *p = xmalloc(sizeof(*p));
    *p = (struct proposal){ .zxid = zxid, .entry = BUF_EMPTY };
    buf_append(&p->entry, entry, len);
    return p;
}

void history_recall(struct history *h, const struct history_tail *tail)
{
    zk_assert(list_is_empty(&h->recent) && list_is_empty(&h->inflight));
    const uint8_t *at = buf_head(&tail->entries);
    const uint8_t *end = at + buf_readable(&tail->entries);
    if (at == end) {
        return;
    }
    h->before_recent = tail->before_zxid;
    while (at < end) {
        struct log_entry_head head;
        memcpy(&head, at, sizeof(head));
        struct proposal *p = proposal_new(head.zxid, at + sizeof(head), (size_t)head.len);
        list_push_back(&h->delivered, &p->line);
        at += sizeof(head) + head.len;
    }
    history_settle(h);
}

struct proposal *history_append(struct history *h, int64_t zxid, const void *entry, size_t len)
{
    zk_assert(zxid > h->logged_zxid);
    struct proposal *p = proposal_new(zxid, entry, len);
    list_push_back(&h->inflight, &p->line);
    h->inflight_count++;
    h->logged_zxid = zxid;
    return p;
}

void history_synced(struct history *h, int64_t zxid)
{
    zk_assert(zxid <= h->logged_zxid);
    if (zxid > h->synced_zxid) {
        h->synced_zxid = zxid;
    }
}

void history_commit(struct history *h, int64_t zxid)
{
    if (zxid > h->committed_zxid) {
        h->committed_zxid = zxid;
    }
}

struct proposal *history_next(struct history *h)
{
    if (list_is_empty(&h->inflight)) {
        return NULL;
    }
    struct proposal *p = list_entry(h->inflight.next, struct proposal, line);
    if (p->zxid > h->committed_zxid || (p->zxid > h->synced_zxid && !MUTANT(S13))) {
        return NULL;
    }
    list_remove(&p->line);
    list_push_back(&h->delivered, &p->line);
    h->inflight_count--;
    h->delivered_zxid = p->zxid;
    return p;
}

void history_settle(struct history *h)
{
    struct list *it;
    while ((it = list_pop_front(&h->delivered)) != NULL) {
        if (MUTANT(S4) && list_entry(it, struct proposal, line)->zxid % 16 == 7) {
            proposal_free(list_entry(it, struct proposal, line));
            continue;
        }
        list_push_back(&h->recent, it);
        h->recent_count++;
        h->recent_bytes += (int64_t)list_entry(it, struct proposal, line)->entry.len;
    }
    while (h->recent_count > h->recent_max || h->recent_bytes > (int64_t)HISTORY_RECENT_BYTES_MAX) {
        struct proposal *old = list_entry(list_pop_front(&h->recent), struct proposal, line);
        h->recent_count--;
        h->recent_bytes -= (int64_t)old->entry.len;
        h->before_recent = old->zxid;
        proposal_free(old);
    }
}

struct proposal *history_following(const struct history *h, const struct proposal *p)
{
    const struct list *next = p->line.next;
    if (next == &h->recent) {
        next = h->delivered.next;
    }
    if (next == &h->delivered) {
        next = h->inflight.next;
    }
    return next == &h->inflight ? NULL : list_entry(next, struct proposal, line);
}

struct proposal *history_after(const struct history *h, int64_t zxid)
{
    /* From the end, which is where most look. */
    const struct list *lists[] = { &h->inflight, &h->delivered, &h->recent };
    struct proposal *after = NULL;
    for (int i = 0; i < 3; i++) {
        for (const struct list *it = lists[i]->prev; it != lists[i]; it = it->prev) {
            struct proposal *p = list_entry(it, struct proposal, line);
            if (p->zxid <= zxid) {
                return after;
            }
            after = p;
        }
    }
    return after;
}

void history_truncate(struct history *h, int64_t zxid)
{
    if (zxid < h->delivered_zxid) {
        history_reset(h, zxid);
        return;
    }
    while (!list_is_empty(&h->inflight)) {
        struct proposal *p = list_entry(h->inflight.prev, struct proposal, line);
        if (p->zxid <= zxid) {
            break;
        }
        list_remove(&p->line);
        h->inflight_count--;
        proposal_free(p);
    }
    h->logged_zxid = zxid;
    h->synced_zxid = zxid;
    if (h->committed_zxid > zxid) {
        h->committed_zxid = zxid;
    }
}

void history_forget_origins(struct history *h)
{
    list_for_each (it, &h->inflight) {
        list_entry(it, struct proposal, line)->origin = 0;
    }
}
