/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store/store_event.h"

#include "common/xalloc.h"

_Static_assert(offsetof(struct store_event, item) == 0, "receivers cast the item to its event");

void store_event_post(struct thread_queue *to, const struct store_event *event)
{
    struct store_event *copy = xmemdup(event, sizeof(*event));
    thread_queue_push(to, &copy->item);
}
