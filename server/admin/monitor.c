/* SPDX-License-Identifier: Apache-2.0 */
#include "server/admin/monitor.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "server/admin/environment.h"

int64_t monitor_node_count(const struct server_view *view)
{
    return view->znode_count + 1;
}

void monitor_print_ratio(int64_t sum, int64_t count, struct buf *out)
{
    /* In units of 1/10000; the wide type because a sum of years of latencies is close to its end.
     * */
    __int128 scaled = count > 0 ? ((__int128)sum * 10000 * 2 + count) / ((__int128)count * 2) : 0;
    char text[64];
    snprintf(text, sizeof(text), "%" PRId64 ".%04d", (int64_t)(scaled / 10000),
             (int)(scaled % 10000));
    size_t len = strlen(text);
    while (text[len - 1] == '0' && text[len - 2] != '.') {
        len--;
    }
    buf_append(out, text, len);
}

static const struct {
    const char *key;
    size_t offset; /* of an int64_t in struct server_view */
} figures[] = {
#define FIGURE(key, field)                                                                         \
    {                                                                                              \
        key, offsetof(struct server_view, field)                                                   \
    }
    FIGURE("ephemerals_count", ephemeral_count),
    FIGURE("num_alive_connections", connection_count),
    FIGURE("outstanding_requests", outstanding_count),
    FIGURE("global_sessions", session_count),
    FIGURE("packets_received", packets_received),
    FIGURE("packets_sent", packets_sent),
    FIGURE("bytes_received_count", bytes_received),
    FIGURE("response_bytes", bytes_sent),
    FIGURE("min_latency", latency_ms_min),
    FIGURE("max_latency", latency_ms_max),
    FIGURE("watch_count", watch_count),
    FIGURE("uptime", uptime_ms),
    FIGURE("connection_rejected", connections_rejected),
    FIGURE("connection_drop_count", connections_closed),
    FIGURE("connection_request_count", connect_requests),
    FIGURE("connection_revalidate_count", revalidate_requests),
    FIGURE("sessionless_connections_expired", sessionless_expired),
    FIGURE("stale_sessions_expired", sessions_expired),
    FIGURE("auth_failed_count", auth_failed),
    FIGURE("fsync_threshold_exceed_count", fsync_slow_count),
    FIGURE("max_fsynctime", fsync_ms_max),
    FIGURE("cnt_fsynctime", fsync_count),
    FIGURE("sum_fsynctime", fsync_ms_sum),
    FIGURE("max_snapshottime", snapshot_ms_max),
    FIGURE("cnt_snapshottime", snapshot_count),
    FIGURE("sum_snapshottime", snapshot_ms_sum),
#undef FIGURE
};

static void print_number(const char *key, int64_t value, struct buf *out)
{
    buf_printf(out, "zk_%s\t%" PRId64 "\n", key, value);
}

static void print_ratio(const char *key, int64_t sum, int64_t count, struct buf *out)
{
    buf_printf(out, "zk_%s\t", key);
    monitor_print_ratio(sum, count, out);
    buf_append_str(out, "\n");
}

static void print_leader(const struct ensemble_view *e, struct buf *out)
{
    print_number("learners", e->learner_count, out);
    print_number("synced_followers", e->synced_follower_count, out);
    print_number("synced_non_voting_followers", 0, out);
    print_number("synced_observers", e->synced_observer_count, out);
    print_number("pending_syncs", e->pending_sync_count, out);
    print_number("leader_uptime", e->leader_uptime_ms, out);
    print_number("last_proposal_size", e->proposal_bytes_last, out);
    print_number("min_proposal_size", e->proposal_bytes_min, out);
    print_number("max_proposal_size", e->proposal_bytes_max, out);
}

static void print_ensemble(const struct ensemble_view *e, struct buf *out)
{
    buf_printf(out, "zk_peer_state\t%s\n", e->peer_state);
    print_number("quorum_size", e->voter_count, out);
    print_number("proposal_count", e->proposal_count, out);
    print_number("looking_count", e->looking_count, out);
    print_number("learner_proposal_received_count", e->proposals_received, out);
    print_number("learner_commit_received_count", e->commits_received, out);
    print_number("diff_count", e->diffs_sent, out);
    print_number("snap_count", e->snaps_sent, out);
    print_number("digest_mismatches_count", e->digest_mismatches, out);
    if (e->is_leading) {
        print_leader(e, out);
    }
}

void monitor_print(const struct server_view *view, const char *version, struct buf *out)
{
    buf_printf(out, "zk_version\t%s\n", version);
    buf_printf(out, "zk_server_state\t%s\n", view->mode);
    if (view->has_ensemble) {
        print_ensemble(&view->ensemble, out);
    }
    print_ratio("avg_latency", view->latency_ms_sum, view->latency_count, out);
    print_number("znode_count", monitor_node_count(view), out);
    /* The second root again: its path "/" is one byte. */
    print_number("approximate_data_size", view->data_bytes + 1, out);
    print_number("open_file_descriptor_count", environment_open_fds(), out);
    print_number("max_file_descriptor_count", environment_fds_max(), out);
    print_number("local_sessions", 0, out);
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        const char *field = (const char *)view + figures[i].offset;
        print_number(figures[i].key, *(const int64_t *)(const void *)field, out);
    }
    print_ratio("avg_fsynctime", view->fsync_ms_sum, view->fsync_count, out);
    print_ratio("avg_snapshottime", view->snapshot_ms_sum, view->snapshot_count, out);
}
