/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_ADMIN_MONITOR_H
#define SERVER_ADMIN_MONITOR_H

/* The figures of a server under the names that Apache's `mntr` gives them. */
#include <stdint.h>

#include "common/buf.h"
#include "server/admin/server_view.h"

/* The text of `mntr`: a line `zk_<key>\t<value>` each. */
void monitor_print(const struct server_view *view, const char *version, struct buf *out);

/* sum / count as Java prints a double that was rounded half up to four places, but never with an
 * exponent; 0.0 for a count of 0. Both at least 0. */
void monitor_print_ratio(int64_t sum, int64_t count, struct buf *out);

/* Apache counts the root twice, as "" and as "/"; tools compare, so we do as well. */
int64_t monitor_node_count(const struct server_view *view);

#endif
