/* Every figure that INFO and /metrics show, declared once: both are printed from these rows, and so is docs/watching.md.
 *
 * There is one list per kind of thing that has figures: the server, a keyspace, a source, a command, an error word. A
 * row is
 *
 *   X(section, field, form, value, metric, type, labels, help)
 *     section  of INFO (the server's rows only; the others have one section each)
 *     field    name in INFO; NULL: not shown there
 *     form     how INFO writes it: TEXT, COUNT (a whole number), SIGNED, RATIO (two decimals), MICROS (six decimals),
 *              HUMAN (bytes as people read them)
 *     value    where it comes from, by the struct of its list in server/figures.h: f, k, s, c, e
 *     metric   name in Prometheus; NULL: not there. Rows of one metric stand together and differ in their labels
 *     type     COUNTER or GAUGE
 *     labels   what distinguishes rows of one metric, as Prometheus writes it; "" for none. The thing's own label
 *              (keyspace, source, command, error) is added
 *     help     what exactly it is; the definition for both
 *
 * Names end as Prometheus wants them: _total for counters, and the base unit (seconds, bytes) before it. No key is ever
 * in a label. */
#ifndef FB_TBL_METRICS_H
#define FB_TBL_METRICS_H

/* What a metric of several rows is as a whole. X(metric, help) */
#define FB_METRIC_FAMILIES(X)                                                                                          \
    X("forebay_cache_requests_total", "reads of keys, by how they were answered")                                      \
    X("forebay_access_denied_total", "what users and strangers were refused, by the reason")                           \
    X("forebay_connections_closed_total", "connections closed at a limit, by the limit")                               \
    X("forebay_refreshes_total", "loads of copies that were still good, begun by a read that did not wait")             \
    X("forebay_entries", "entries cached now")                                                                         \
    X("forebay_writes_total", "writes, by how they ended")                                                             \
    X("forebay_source_queries_total", "round trips to the source")                                                     \
    X("forebay_source_rows_total", "keys and writes in the round trips")                                               \
    X("forebay_source_pool_connections", "connections to the source, by what they do")

#define FB_SERVER_METRICS(X)                                                                                           \
    X(SERVER, "redis_version", TEXT, f->redis_version, NULL, GAUGE, "",                                                \
      "the version of Redis whose forms of commands clients may use")                                                  \
    X(SERVER, "redis_mode", TEXT, "standalone", NULL, GAUGE, "", "always standalone")                                  \
    X(SERVER, "server_name", TEXT, "forebay", NULL, GAUGE, "", "always forebay")                                       \
    X(SERVER, "forebay_version", TEXT, FOREBAY_VERSION, NULL, GAUGE, "", "the version of this program")                \
    X(SERVER, "os", TEXT, f->os, NULL, GAUGE, "", "the operating system")                                              \
    X(SERVER, "arch_bits", COUNT, 8 * sizeof(void *), NULL, GAUGE, "", "bits of a pointer")                            \
    X(SERVER, "multiplexing_api", TEXT, "libuv", NULL, GAUGE, "", "what event loops are made of")                      \
    X(SERVER, "process_id", COUNT, f->pid, NULL, GAUGE, "", "number of the process")                                   \
    X(SERVER, "run_id", TEXT, f->server->run_id, NULL, GAUGE, "", "40 random digits, new at every start")              \
    X(SERVER, "tcp_port", COUNT, f->port, NULL, GAUGE, "", "of the first TCP listener; 0: none")                       \
    X(SERVER, "server_time_usec", SIGNED, f->now_wall_us, NULL, GAUGE, "", "the clock, in microseconds since 1970")    \
    X(SERVER, "uptime_in_seconds", SIGNED, f->uptime_s, NULL, GAUGE, "", "seconds since the start")                    \
    X(SERVER, "uptime_in_days", SIGNED, f->uptime_s / 86400, NULL, GAUGE, "", "whole days since the start")            \
    X(SERVER, "executable", TEXT, f->executable, NULL, GAUGE, "", "path of the program")                               \
    X(SERVER, "config_file", TEXT, f->config_file, NULL, GAUGE, "", "path of the configuration; empty: none")          \
    X(SERVER, "io_threads_active", COUNT, f->server->nloops > 1, NULL, GAUGE, "", "1: there are several event loops")  \
    X(SERVER, NULL, COUNT, 1, "forebay_build_info", GAUGE, "version=\"" FOREBAY_VERSION "\"",                          \
      "always 1; the version is in the label")                                                                         \
    X(SERVER, NULL, RATIO, f->started_s, "process_start_time_seconds", GAUGE, "",                                      \
      "when the server started, in seconds since 1970")                                                                \
    X(SERVER, NULL, COUNT, f->open_files, "process_open_fds", GAUGE, "", "open file descriptors")                      \
    X(SERVER, NULL, COUNT, f->open_files_max, "process_max_fds", GAUGE, "", "file descriptors there may be")           \
    X(SERVER, NULL, COUNT, f->is_reload_good, "forebay_config_last_reload_successful", GAUGE, "",                      \
      "1: the configuration in force is the one last read; 0: the last reload was rejected")                           \
    X(SERVER, NULL, COUNT, f->server->nloops, "forebay_event_loops", GAUGE, "", "threads that serve clients")          \
                                                                                                                       \
    X(CLIENTS, "connected_clients", COUNT, f->clients, "forebay_client_connections", GAUGE, "", "connections now")     \
    X(CLIENTS, "maxclients", COUNT, f->clients_max, "forebay_client_connections_max", GAUGE, "",                       \
      "connections there may be (server.clients_max)")                                                                 \
    X(CLIENTS, "blocked_clients", COUNT, f->blocked, "forebay_client_connections_waiting", GAUGE, "",                  \
      "connections with a request that waits for a source, or for the end of CLIENT PAUSE")                            \
    X(CLIENTS, "tracking_clients", COUNT, f->tracking_clients, "forebay_client_connections_tracking", GAUGE, "",       \
      "connections with CLIENT TRACKING on")                                                                           \
    X(CLIENTS, "pubsub_clients", COUNT, f->pubsub_clients, "forebay_client_connections_subscribed", GAUGE, "",         \
      "connections with a subscription")                                                                               \
                                                                                                                       \
    X(MEMORY, "used_memory", COUNT, f->stats.memory_used, "forebay_memory_bytes", GAUGE, "kind=\"entries\"",           \
      "bytes of cached entries with their bookkeeping; what memory_max limits. Buffers of connections and sources "    \
      "come on top and are in the resident size")                                                                      \
    X(MEMORY, "used_memory_human", HUMAN, f->stats.memory_used, NULL, GAUGE, "", "used_memory for people")             \
    X(MEMORY, "used_memory_rss", COUNT, f->resident, "process_resident_memory_bytes", GAUGE, "",                       \
      "bytes of the process that are in memory")                                                                       \
    X(MEMORY, "used_memory_rss_human", HUMAN, f->resident, NULL, GAUGE, "", "used_memory_rss for people")              \
    X(MEMORY, "used_memory_peak", COUNT, f->memory_peak, "forebay_memory_peak_bytes", GAUGE, "",                       \
      "the largest used_memory since the start or CONFIG RESETSTAT; looked at once a second")                          \
    X(MEMORY, "used_memory_peak_human", HUMAN, f->memory_peak, NULL, GAUGE, "", "used_memory_peak for people")         \
    X(MEMORY, "used_memory_overhead", COUNT,                                                                           \
      f->resident > f->stats.memory_used ? f->resident - f->stats.memory_used : 0, NULL, GAUGE, "",                    \
      "used_memory_rss without used_memory: the program, buffers, tables not filled")                                  \
    X(MEMORY, "used_memory_dataset", COUNT, f->stats.memory_used, NULL, GAUGE, "", "the same as used_memory")          \
    X(MEMORY, "total_system_memory", COUNT, f->system_memory, NULL, GAUGE, "", "bytes of memory of the machine")       \
    X(MEMORY, "total_system_memory_human", HUMAN, f->system_memory, NULL, GAUGE, "",                                   \
      "total_system_memory for people")                                                                                \
    X(MEMORY, "maxmemory", COUNT, f->stats.memory_max, "forebay_memory_max_bytes", GAUGE, "",                          \
      "bytes that entries may take (server.memory_max)")                                                               \
    X(MEMORY, "maxmemory_human", HUMAN, f->stats.memory_max, NULL, GAUGE, "", "maxmemory for people")                  \
    X(MEMORY, "maxmemory_policy", TEXT, f->policy, NULL, GAUGE, "",                                                    \
      "Redis' word for server.eviction: allkeys-lfu for s3fifo, allkeys-lru for lru")                                  \
    X(MEMORY, "mem_fragmentation_ratio", RATIO,                                                                        \
      f->stats.memory_used > 0 ? (double)f->resident / (double)f->stats.memory_used : 0.0, NULL, GAUGE, "",            \
      "used_memory_rss by used_memory; high while little is cached")                                                   \
    X(MEMORY, "mem_allocator", TEXT, f->allocator, NULL, GAUGE, "", "whose malloc it is")                              \
                                                                                                                       \
    X(PERSISTENCE, "loading", COUNT, 0, NULL, GAUGE, "", "always 0: a cache starts empty and ready")                   \
    X(PERSISTENCE, "rdb_changes_since_last_save", COUNT, 0, NULL, GAUGE, "",                                           \
      "writes not yet at the source; always 0, since an answered write is there")                                      \
    X(PERSISTENCE, "rdb_bgsave_in_progress", COUNT, 0, NULL, GAUGE, "", "always 0")                                    \
    X(PERSISTENCE, "rdb_last_save_time", SIGNED, f->server->started_wall_us / 1000000, NULL, GAUGE, "",                \
      "when the server started")                                                                                       \
    X(PERSISTENCE, "rdb_last_bgsave_status", TEXT, "ok", NULL, GAUGE, "", "always ok")                                 \
    X(PERSISTENCE, "aof_enabled", COUNT, 0, NULL, GAUGE, "", "always 0")                                               \
    X(PERSISTENCE, "aof_rewrite_in_progress", COUNT, 0, NULL, GAUGE, "", "always 0")                                   \
    X(PERSISTENCE, "aof_last_bgrewrite_status", TEXT, "ok", NULL, GAUGE, "", "always ok")                              \
                                                                                                                       \
    X(STATS, "total_connections_received", COUNT, f->totals.connections, "forebay_connections_total", COUNTER, "",     \
      "connections accepted")                                                                                          \
    X(STATS, "total_commands_processed", COUNT, f->totals.commands, NULL, COUNTER, "",                                 \
      "commands whose handler ran, those inside EXEC included, refused ones not")                                      \
    X(STATS, "instantaneous_ops_per_sec", COUNT, f->ops_per_second, NULL, GAUGE, "", "commands in the last second")    \
    X(STATS, "total_net_input_bytes", COUNT, f->totals.bytes_in, "forebay_network_received_bytes_total", COUNTER, "",  \
      "bytes read from clients")                                                                                       \
    X(STATS, "total_net_output_bytes", COUNT, f->totals.bytes_out, "forebay_network_sent_bytes_total", COUNTER, "",    \
      "bytes sent to clients")                                                                                         \
    X(STATS, "instantaneous_input_kbps", RATIO, (double)f->in_per_second / 1024, NULL, GAUGE, "",                      \
      "KiB read in the last second")                                                                                   \
    X(STATS, "instantaneous_output_kbps", RATIO, (double)f->out_per_second / 1024, NULL, GAUGE, "",                    \
      "KiB sent in the last second")                                                                                   \
    X(STATS, "rejected_connections", COUNT, f->totals.rejected, "forebay_connections_rejected_total", COUNTER, "",     \
      "connections refused because of clients_max")                                                                    \
    X(STATS, "client_query_buffer_limit_disconnections", COUNT, f->totals.over_query,                                  \
      "forebay_connections_closed_total", COUNTER,                                                                     \
      "reason=\"query_buffer\"", "connections closed because a request did not fit into query_buffer_max")             \
    X(STATS, "client_output_buffer_limit_disconnections", COUNT, f->totals.over_output,                                \
      "forebay_connections_closed_total", COUNTER,                                                                     \
      "reason=\"output_buffer\"", "connections closed because they did not read their replies")                        \
    X(STATS, "evicted_clients", COUNT, f->totals.over_memory, "forebay_connections_closed_total", COUNTER,             \
      "reason=\"client_memory\"", "connections closed because client_memory_max was exceeded")                         \
    X(STATS, "client_idle_disconnections", COUNT, f->totals.over_idle, "forebay_connections_closed_total", COUNTER,    \
      "reason=\"idle\"", "connections closed after idle_timeout")                                                      \
    X(STATS, "client_slow_disconnections", COUNT, f->totals.over_time, "forebay_connections_closed_total", COUNTER,    \
      "reason=\"slow\"", "connections closed because of an unfinished request, or of none, before AUTH and after")     \
    X(STATS, "tls_handshake_disconnections", COUNT, f->totals.over_handshake,                                          \
      "forebay_connections_closed_total", COUNTER,                                                                     \
      "reason=\"handshake\"", "connections closed because their TLS handshake took too long")                          \
    X(STATS, "http_disconnections", COUNT, f->totals.spoke_http, "forebay_connections_closed_total", COUNTER,          \
      "reason=\"http\"", "connections closed because they spoke HTTP (POST or Host: where a command belongs)")         \
    X(STATS, "acl_access_denied_auth", COUNT, f->denied[0], "forebay_access_denied_total", COUNTER,                    \
      "reason=\"auth\"", "wrong user names and passwords")                                                             \
    X(STATS, "acl_access_denied_cmd", COUNT, f->denied[1], "forebay_access_denied_total", COUNTER,                     \
      "reason=\"command\"", "requests refused because of their command")                                               \
    X(STATS, "acl_access_denied_key", COUNT, f->denied[2], "forebay_access_denied_total", COUNTER,                     \
      "reason=\"key\"", "requests refused because of a key")                                                           \
    X(STATS, "acl_access_denied_channel", COUNT, f->denied[3], "forebay_access_denied_total", COUNTER,                 \
      "reason=\"channel\"", "requests refused because of a channel")                                                   \
    X(STATS, "expired_keys", COUNT, f->totals.expired, NULL, COUNTER, "", "entries dropped at the end of their life")  \
    X(STATS, "evicted_keys", COUNT, f->totals.evicted, NULL, COUNTER, "", "entries dropped to make room")              \
    X(STATS, "keyspace_hits", COUNT, f->totals.hits, NULL, COUNTER, "",                                                \
      "reads of keys answered without asking a source, negative entries included")                                     \
    X(STATS, "keyspace_misses", COUNT, f->totals.misses, NULL, COUNTER, "",                                            \
      "reads of keys that needed a source, whether they asked or joined a load under way")                             \
    X(STATS, "pubsub_channels", COUNT, f->pubsub_channels, "forebay_pubsub_channels", GAUGE, "",                       \
      "channels with a subscriber")                                                                                    \
    X(STATS, "pubsub_patterns", COUNT, f->pubsub_patterns, "forebay_pubsub_patterns", GAUGE, "",                       \
      "patterns with a subscriber")                                                                                    \
    X(STATS, "pubsubshard_channels", COUNT, f->pubsub_shardchannels, NULL, GAUGE, "", "sharded channels with a subscriber")\
    X(STATS, "tracking_total_keys", COUNT, f->tracking_keys, "forebay_tracking_keys", GAUGE, "",                       \
      "keys remembered for clients with tracking")                                                                     \
    X(STATS, "tracking_total_items", COUNT, f->tracking_items, NULL, GAUGE, "", "the same, counted for each client")   \
    X(STATS, "tracking_total_prefixes", COUNT, f->tracking_prefixes, NULL, GAUGE, "",                                  \
      "prefixes that clients watch (BCAST)")                                                                           \
    X(STATS, "total_error_replies", COUNT, f->totals.errors, NULL, COUNTER, "", "errors sent to clients")              \
                                                                                                                       \
    X(REPLICATION, "role", TEXT, "master", NULL, GAUGE, "", "always master")                                           \
    X(REPLICATION, "connected_slaves", COUNT, 0, NULL, GAUGE, "", "always 0")                                          \
    X(REPLICATION, "master_repl_offset", COUNT, 0, NULL, GAUGE, "", "always 0")                                        \
                                                                                                                       \
    X(CPU, "used_cpu_sys", MICROS, f->cpu_system_s, NULL, COUNTER, "", "processor seconds spent in the system")        \
    X(CPU, "used_cpu_user", MICROS, f->cpu_user_s, NULL, COUNTER, "", "processor seconds spent in the program")        \
    X(CPU, NULL, MICROS, f->cpu_system_s + f->cpu_user_s, "process_cpu_seconds_total", COUNTER, "",                    \
      "processor seconds")                                                                                             \
                                                                                                                       \
    X(CLUSTER, "cluster_enabled", COUNT, 0, NULL, GAUGE, "", "always 0")                                               \
                                                                                                                       \
    X(FOREBAY, "keyspaces", COUNT, f->nkeyspaces, NULL, GAUGE, "", "keyspaces configured")                             \
    X(FOREBAY, "hit_ratio_1m", RATIO, f->hit_ratio, "forebay_hit_ratio", GAUGE, "",                                    \
      "keyspace_hits by all reads over the last minute, 0 to 1; 0 when nothing was read")                              \
    X(FOREBAY, "source_loads", COUNT, f->sum.loads, NULL, COUNTER, "", "keys asked of a source")                       \
    X(FOREBAY, "source_errors", COUNT, f->sum.load_errors + f->sum.write_errors, NULL, COUNTER, "",                    \
      "loads and writes that failed")                                                                                  \
    X(FOREBAY, "coalesced_loads", COUNT, f->sum.coalesced, NULL, COUNTER, "",                                          \
      "misses that joined a load already under way")                                                                   \
    X(FOREBAY, "negative_hits", COUNT, f->sum.negative_hits, NULL, COUNTER, "", "reads answered by a negative entry")  \
    X(FOREBAY, "negative_keys", COUNT, f->stats.negative_keys, NULL, GAUGE, "", "negative entries now")                \
    X(FOREBAY, "refreshes", COUNT, f->sum.refreshes, NULL, COUNTER, "",                                                \
      "loads begun ahead of the end of a copy's life (refresh_ahead)")                                                 \
    X(FOREBAY, "early_refreshes", COUNT, f->sum.early_refreshes, NULL, COUNTER, "",                                    \
      "loads begun early at random (early_refresh, XFetch)")                                                           \
    X(FOREBAY, "refreshes_refused", COUNT, f->sum.refreshes_refused, NULL, COUNTER, "",                                \
      "reads of a copy due for its refresh while the source was down or busy")                                         \
    X(FOREBAY, "fills_refused", COUNT, f->sum.fills_refused, NULL, COUNTER, "",                                        \
      "loads not kept because a write or invalidation came between")                                                   \
    X(FOREBAY, "writes", COUNT, f->sum.writes, NULL, COUNTER, "", "writes applied at a source")                        \
    X(FOREBAY, "writes_ignored", COUNT, f->sum.writes_ignored, NULL, COUNTER, "",                                      \
      "writes accepted and ignored (on_set: ignore)")                                                                  \
    X(FOREBAY, "invalidations", COUNT, f->sum.invalidations, NULL, COUNTER, "",                                        \
      "cached copies dropped by a write, a command or a call")                                                         \
    X(FOREBAY, "timeouts", COUNT, f->sum.timeouts, NULL, COUNTER, "", "operations that gave up waiting")               \
    X(FOREBAY, "stale_served", COUNT, f->sum.stale_served, NULL, COUNTER, "",                                          \
      "misses answered with a copy past its life, within its grace")                                                   \
    X(FOREBAY, "store_requests", COUNT, f->store.passed, "forebay_store_requests_total", COUNTER, "",                  \
      "requests sent to the store")                                                                                    \
    X(FOREBAY, "store_split", COUNT, f->store.split, "forebay_store_split_requests_total", COUNTER, "",                \
      "requests with keys of both kinds, of which the store got its part")                                             \
    X(FOREBAY, "store_errors", COUNT, f->store.unanswered, "forebay_store_errors_total", COUNTER, "",                  \
      "requests that the store could not be asked or did not answer")                                                  \
    X(FOREBAY, "store_refused", COUNT, f->store.refused, "forebay_store_refused_total", COUNTER, "",                   \
      "requests refused because they would touch mapped keys in the store")                                            \
    X(FOREBAY, "store_connections", COUNT, f->store.connections, "forebay_store_connections", GAUGE, "",               \
      "connections to the store now")                                                                                  \
    X(FOREBAY, "store_received_bytes", COUNT, f->store.bytes_in, "forebay_store_received_bytes_total", COUNTER, "",    \
      "bytes that came from the store")                                                                                \
    X(FOREBAY, "store_sent_bytes", COUNT, f->store.bytes_out, "forebay_store_sent_bytes_total", COUNTER, "",           \
      "bytes sent to the store")                                                                                       \
    X(FOREBAY, "forwarded", COUNT, f->peers.passed, "forebay_forwarded_requests_total", COUNTER, "",                   \
      "requests of keys that another Forebay owns, passed on to it")                                                   \
    X(FOREBAY, "forward_errors", COUNT, f->peers.unanswered, "forebay_forward_errors_total", COUNTER, "",              \
      "of such requests, those whose owner could not be asked or did not answer")                                      \
    X(FOREBAY, "forward_connections", COUNT, f->peers.connections, "forebay_forward_connections", GAUGE, "",           \
      "connections to owners now")                                                                                     \
    X(FOREBAY, "sharing", TEXT, f->sharing_state, NULL, GAUGE, "",                                                     \
      "the shared second level: off, up, down, or up without copies while it does not tell of changes")                \
    X(FOREBAY, "sharing_store", TEXT, f->sharing.where, NULL, GAUGE, "", "where it is")                                \
    X(FOREBAY, "sharing_last_error", TEXT, f->sharing.last_error, NULL, GAUGE, "", "why it could not be asked last time")\
    X(FOREBAY, NULL, COUNT, (uint64_t)f->sharing.is_up, "forebay_sharing_up", GAUGE, "",                               \
      "1 while the shared second level is asked")                                                                      \
    X(FOREBAY, NULL, COUNT, (uint64_t)f->sharing.is_proved, "forebay_sharing_proved", GAUGE, "",                       \
      "1 while it tells of every change, so that copies of this process serve")                                        \
    X(FOREBAY, "sharing_primaries", COUNT, f->sharing.primaries, "forebay_sharing_primaries", GAUGE, "",               \
      "servers that hold the shared values")                                                                           \
    X(FOREBAY, "sharing_waiting", COUNT, f->sharing.waiting, "forebay_sharing_waiting", GAUGE, "",                     \
      "calls that wait in front of it now")                                                                            \
    X(FOREBAY, "sharing_trips", COUNT, f->sharing.trips, "forebay_sharing_trips_total", COUNTER, "",                   \
      "round trips to the shared store")                                                                               \
    X(FOREBAY, "sharing_calls", COUNT, f->sharing.calls, "forebay_sharing_calls_total", COUNTER, "",                   \
      "calls in them")                                                                                                 \
    X(FOREBAY, "sharing_errors", COUNT, f->sharing.errors, "forebay_sharing_errors_total", COUNTER, "",                \
      "calls that the shared store refused or did not answer")                                                         \
    X(FOREBAY, "sharing_hits", COUNT, f->sharing.hits, "forebay_sharing_hits_total", COUNTER, "",                      \
      "values found there")                                                                                            \
    X(FOREBAY, "sharing_misses", COUNT, f->sharing.misses, "forebay_sharing_misses_total", COUNTER, "",                \
      "values not found there")                                                                                        \
    X(FOREBAY, "sharing_negatives", COUNT, f->sharing.negatives, "forebay_sharing_negatives_total", COUNTER, "",       \
      "keys known there to be absent")                                                                                 \
    X(FOREBAY, "sharing_leases", COUNT, f->sharing.leases, "forebay_sharing_leases_total", COUNTER, "",                \
      "loads that this process did for all")                                                                           \
    X(FOREBAY, "sharing_waits", COUNT, f->sharing.waits, "forebay_sharing_waits_total", COUNTER, "",                   \
      "times that another process was loading the key already")                                                        \
    X(FOREBAY, "sharing_busy", COUNT, f->sharing.busy, "forebay_sharing_busy_total", COUNTER, "",                      \
      "loads during a write, whose answer nobody kept")                                                                \
    X(FOREBAY, "sharing_fills", COUNT, f->sharing.fills, "forebay_sharing_fills_total", COUNTER, "",                   \
      "values put there by loads and writes")                                                                          \
    X(FOREBAY, "sharing_fills_refused", COUNT, f->sharing.fills_refused, "forebay_sharing_fills_refused_total", COUNTER, "",\
      "loads that a write or an invalidation came before, somewhere")                                                  \
    X(FOREBAY, "sharing_told", COUNT, f->sharing.told, "forebay_sharing_told_total", COUNTER, "",                      \
      "changes that the store has told of")                                                                            \
    X(FOREBAY, "sharing_reasserted", COUNT, f->sharing.reasserted, "forebay_sharing_reasserted_total", COUNTER, "",    \
      "keys invalidated again after a failover or a silence of the store")                                             \
    X(FOREBAY, "dirty_keys", COUNT, 0, NULL, GAUGE, "", "always 0: a write that was answered is at its source")        \
    X(FOREBAY, "dirty_oldest_seconds", COUNT, 0, NULL, GAUGE, "", "always 0, as dirty_keys")                           \
    X(FOREBAY, "writes_flushed", COUNT, 0, NULL, COUNTER, "", "always 0, as dirty_keys")                               \
    X(FOREBAY, "writes_dropped", COUNT, 0, NULL, COUNTER, "", "always 0, as dirty_keys")

/* k: one keyspace. INFO: section forebay_keyspaces, one line "ks0:…" each. */
#define FB_KEYSPACE_METRICS(X)                                                                                         \
    X(FOREBAY_KEYSPACES, "pattern", TEXT, k->pattern, NULL, GAUGE, "", "the pattern of the keyspace's keys")           \
    X(FOREBAY_KEYSPACES, "keys", COUNT, k->stats.keys, "forebay_entries", GAUGE, "kind=\"value\"",                     \
      "values cached now")                                                                                             \
    X(FOREBAY_KEYSPACES, "negative_keys", COUNT, k->stats.negative_keys, "forebay_entries", GAUGE,                     \
      "kind=\"negative\"", "negative entries now")                                                                     \
    X(FOREBAY_KEYSPACES, "bytes", COUNT, k->stats.bytes, "forebay_entries_bytes", GAUGE, "",                           \
      "bytes of both, with bookkeeping")                                                                               \
    X(FOREBAY_KEYSPACES, "hits", COUNT, k->stats.hits, "forebay_cache_requests_total", COUNTER, "result=\"hit\"",      \
      "reads answered from a cached value")                                                                            \
    X(FOREBAY_KEYSPACES, "negative_hits", COUNT, k->stats.negative_hits, "forebay_cache_requests_total", COUNTER,      \
      "result=\"negative_hit\"", "reads answered by a negative entry")                                                 \
    X(FOREBAY_KEYSPACES, NULL, COUNT, k->stats.misses - k->stats.coalesced, "forebay_cache_requests_total", COUNTER,   \
      "result=\"miss\"", "reads that began a load")                                                                    \
    X(FOREBAY_KEYSPACES, "coalesced", COUNT, k->stats.coalesced, "forebay_cache_requests_total", COUNTER,              \
      "result=\"coalesced\"", "misses that joined a load already under way")                                           \
    X(FOREBAY_KEYSPACES, "misses", COUNT, k->stats.misses, NULL, COUNTER, "",                                          \
      "reads that needed the source, coalesced ones included")                                                         \
    X(FOREBAY_KEYSPACES, "shared_hits", COUNT, k->stats.shared_hits, "forebay_shared_hits_total", COUNTER, "",         \
      "loads answered by the shared store instead of the source")                                                      \
    X(FOREBAY_KEYSPACES, "stale_served", COUNT, k->stats.stale_served, "forebay_stale_served_total", COUNTER, "",      \
      "misses answered with a copy past its life, within its grace")                                                   \
    X(FOREBAY_KEYSPACES, "loads", COUNT, k->stats.loads, "forebay_loads_total", COUNTER, "",                           \
      "keys asked of the source")                                                                                      \
    X(FOREBAY_KEYSPACES, "load_errors", COUNT, k->stats.load_errors, "forebay_load_errors_total", COUNTER, "",         \
      "loads that failed")                                                                                             \
    X(FOREBAY_KEYSPACES, "refreshes", COUNT, k->stats.refreshes, "forebay_refreshes_total", COUNTER,                   \
      "reason=\"ahead\"", "loads begun ahead of the end of a copy's life (refresh_ahead)")                           \
    X(FOREBAY_KEYSPACES, "early_refreshes", COUNT, k->stats.early_refreshes, "forebay_refreshes_total", COUNTER,       \
      "reason=\"early\"", "loads begun early at random (early_refresh, XFetch)")                                     \
    X(FOREBAY_KEYSPACES, "refreshes_refused", COUNT, k->stats.refreshes_refused, "forebay_refreshes_refused_total",    \
      COUNTER, "", "reads of a copy due for its refresh while the source was down or busy")                            \
    X(FOREBAY_KEYSPACES, "fills_refused", COUNT, k->stats.fills_refused, "forebay_fills_refused_total", COUNTER, "",   \
      "loads not kept because a write or invalidation came between")                                                   \
    X(FOREBAY_KEYSPACES, "writes", COUNT, k->stats.writes, "forebay_writes_total", COUNTER, "result=\"applied\"",      \
      "writes applied at the source")                                                                                  \
    X(FOREBAY_KEYSPACES, "write_errors", COUNT, k->stats.write_errors, "forebay_writes_total", COUNTER,                \
      "result=\"failed\"", "writes refused or failed")                                                                 \
    X(FOREBAY_KEYSPACES, "writes_ignored", COUNT, k->stats.writes_ignored, "forebay_writes_total", COUNTER,            \
      "result=\"ignored\"", "writes accepted and ignored (on_set: ignore)")                                            \
    X(FOREBAY_KEYSPACES, "invalidations", COUNT, k->stats.invalidations, "forebay_invalidations_total", COUNTER, "",   \
      "cached copies dropped by a write, a command or a call")                                                         \
    X(FOREBAY_KEYSPACES, "expired", COUNT, k->stats.expired, "forebay_expirations_total", COUNTER, "",                 \
      "entries dropped at the end of their life")                                                                      \
    X(FOREBAY_KEYSPACES, "evicted", COUNT, k->stats.evicted, "forebay_evictions_total", COUNTER, "",                   \
      "entries dropped to make room")                                                                                  \
    X(FOREBAY_KEYSPACES, "timeouts", COUNT, k->stats.timeouts, "forebay_timeouts_total", COUNTER, "",                  \
      "operations that gave up waiting")

/* s: one source. INFO: section forebay_sources, one line "source_NAME:…" each. */
#define FB_SOURCE_METRICS(X)                                                                                           \
    X(FOREBAY_SOURCES, "up", COUNT, s->is_up, "forebay_source_up", GAUGE, "",                                          \
      "0: it could not be reached when it was last asked")                                                             \
    X(FOREBAY_SOURCES, "read_trips", COUNT, s->stats.read_trips, "forebay_source_queries_total", COUNTER,              \
      "op=\"load\"", "round trips for loads; one may ask for many keys")                                               \
    X(FOREBAY_SOURCES, "write_trips", COUNT, s->stats.write_trips, "forebay_source_queries_total", COUNTER,            \
      "op=\"store\"", "transactions")                                                                                  \
    X(FOREBAY_SOURCES, "rows_wanted", COUNT, s->stats.rows_wanted, "forebay_source_rows_total", COUNTER,               \
      "op=\"load\"", "keys in the round trips for loads")                                                              \
    X(FOREBAY_SOURCES, "writes", COUNT, s->stats.writes, "forebay_source_rows_total", COUNTER, "op=\"store\"",         \
      "writes in the transactions")                                                                                    \
    X(FOREBAY_SOURCES, "errors", COUNT, s->stats.errors, "forebay_source_errors_total", COUNTER, "",                   \
      "round trips that failed")                                                                                       \
    X(FOREBAY_SOURCES, "waiting", COUNT, s->stats.waiting, "forebay_source_queue_length", GAUGE, "",                   \
      "operations that wait for a connection to the source now")                                                       \
    X(FOREBAY_SOURCES, "pool", COUNT, s->stats.sessions, "forebay_source_pool_connections", GAUGE, "state=\"open\"",   \
      "connections to the source now")                                                                                 \
    X(FOREBAY_SOURCES, "under_way", COUNT, s->stats.under_way, "forebay_source_pool_connections", GAUGE,               \
      "state=\"busy\"", "connections with a round trip under way now")                                                 \
    X(FOREBAY_SOURCES, "cancelled", COUNT, s->stats.cancelled, "forebay_source_cancelled_total", COUNTER, "",          \
      "round trips given up because nobody waited for them any more, or they were late beyond their timeout")          \
    X(FOREBAY_SOURCES, "stopped", COUNT, s->stats.stopped, "forebay_source_stopped_total", COUNTER, "",                \
      "operations that were not sent because the breaker was open")                                                    \
    X(FOREBAY_SOURCES, "breaker_state", COUNT, s->stats.breaker, "forebay_source_breaker_state", GAUGE, "",            \
      "0: closed; 1: open, nobody asks; 2: half-open, one round trip is finding out")          \
    X(FOREBAY_SOURCES, "breaker_opens", COUNT, s->stats.opens, "forebay_source_breaker_opens_total", COUNTER, "",      \
      "times the breaker has opened")

/* b: write-behind at one source. INFO: section forebay_write_behind, one line "behind_NAME:…" each. */
#define FB_BEHIND_METRICS(X)                                                                                           \
    X(FOREBAY_WRITE_BEHIND, "state", TEXT, b->stats.state, NULL, GAUGE, "",                                            \
      "owner; elsewhere: another process owns the partition; fenced: it was taken away; broken: the journal has failed")\
    X(FOREBAY_WRITE_BEHIND, "owner", TEXT, b->stats.owner, NULL, GAUGE, "",                                            \
      "elsewhere: where the owner listens; else nothing")                                                              \
    X(FOREBAY_WRITE_BEHIND, "durability", TEXT, b->stats.every_second ? "everysec" : "always", NULL, GAUGE, "",        \
      "when a write is acknowledged (server.journal_sync)")                                                            \
    X(FOREBAY_WRITE_BEHIND, "stopped", COUNT, b->stats.is_stopped, "forebay_behind_stopped", GAUGE, "",                \
      "1: the database refuses batches as such (a table, column or right is missing); everything is kept")             \
    X(FOREBAY_WRITE_BEHIND, "pending_keys", COUNT, b->stats.pending_keys, "forebay_behind_pending_keys", GAUGE, "",    \
      "rows with writes that the database does not have yet")                                                          \
    X(FOREBAY_WRITE_BEHIND, "pending_writes", COUNT, b->stats.pending_writes, "forebay_behind_pending_writes", GAUGE,  \
      "", "acknowledged writes that the database does not have yet")                                                   \
    X(FOREBAY_WRITE_BEHIND, "pending_bytes", COUNT, b->stats.pending_bytes, "forebay_behind_pending_bytes", GAUGE, "", \
      "memory they take, with their bookkeeping")                                                                      \
    X(FOREBAY_WRITE_BEHIND, "oldest_ms", COUNT, b->stats.oldest_ms, NULL, GAUGE, "",                                   \
      "age of the oldest pending write in milliseconds; 0: nothing is pending")                                        \
    X(FOREBAY_WRITE_BEHIND, NULL, RATIO, (double)b->stats.oldest_ms / 1000, "forebay_behind_oldest_seconds", GAUGE, "",\
      "age of the oldest pending write; 0: nothing is pending")                                                        \
    X(FOREBAY_WRITE_BEHIND, "acknowledged", COUNT, b->stats.acknowledged, "forebay_behind_acknowledged_total", COUNTER,\
      "", "writes acknowledged")                                                                                       \
    X(FOREBAY_WRITE_BEHIND, "joined", COUNT, b->stats.joined, "forebay_behind_joined_total", COUNTER, "",              \
      "of these, writes that shared a record of the journal with others of their key, which waited for the same sync") \
    X(FOREBAY_WRITE_BEHIND, "flushed_writes", COUNT, b->stats.flushed_writes, "forebay_behind_flushed_writes_total",   \
      COUNTER, "", "writes brought to the database")                                                                   \
    X(FOREBAY_WRITE_BEHIND, "flushed_rows", COUNT, b->stats.flushed_rows, "forebay_behind_flushed_rows_total", COUNTER,\
      "", "rows written for them")                                                                                     \
    X(FOREBAY_WRITE_BEHIND, "went_back", COUNT, b->stats.went_back, "forebay_behind_went_back_total", COUNTER, "",       \
      "times that the database was found in an older state; what it had lost was flushed again")                       \
    X(FOREBAY_WRITE_BEHIND, "flushes", COUNT, b->stats.flushes, "forebay_behind_flushes_total", COUNTER, "",           \
      "transactions of flushes")                                                                                       \
    X(FOREBAY_WRITE_BEHIND, "retries", COUNT, b->stats.retries, "forebay_behind_retries_total", COUNTER, "",           \
      "flushes that have failed and were, or will be, tried again")                                                    \
    X(FOREBAY_WRITE_BEHIND, "dead", COUNT, b->stats.dead, "forebay_behind_dead_total", COUNTER, "",                    \
      "rows that the database refused: dead letters since the start (FB.DEAD)")                                        \
    X(FOREBAY_WRITE_BEHIND, "last_seq", COUNT, b->stats.last_seq, NULL, GAUGE, "", "number of the newest write")       \
    X(FOREBAY_WRITE_BEHIND, "applied_seq", COUNT, b->stats.applied_seq, NULL, GAUGE, "",                               \
      "number up to which the database has them")                                                                      \
    X(FOREBAY_WRITE_BEHIND, "journal_bytes", COUNT, b->stats.journal_bytes, "forebay_behind_journal_bytes", GAUGE, "", \
      "files of the journal")                                                                                          \
    X(FOREBAY_WRITE_BEHIND, "syncs", COUNT, b->stats.syncs, "forebay_behind_syncs_total", COUNTER, "",                 \
      "syncs of the journal")                                                                                          \
    X(FOREBAY_WRITE_BEHIND, "sync_max_us", COUNT, b->stats.sync_max_us, NULL, GAUGE, "", "the longest sync")

/* c: one command. INFO: section commandstats, one line "cmdstat_NAME:…" each. /metrics has its times as the histogram
 * forebay_command_duration_seconds, too. */
#define FB_COMMAND_METRICS(X)                                                                                          \
    X(COMMANDSTATS, "calls", COUNT, c->sum.calls, "forebay_commands_total", COUNTER, "", "times its handler ran")      \
    X(COMMANDSTATS, "usec", COUNT, c->sum.ns / 1000, NULL, COUNTER, "",                                                \
      "microseconds until the reply was ready, all calls together; waiting for a source is part of it, and of EXEC's "  \
      "transaction each of its commands has its share")                                                                \
    X(COMMANDSTATS, "usec_per_call", RATIO,                                                                            \
      c->sum.calls > 0 ? (double)c->sum.ns / 1000 / (double)c->sum.calls : 0.0, NULL, GAUGE, "", "usec by calls")      \
    X(COMMANDSTATS, "rejected_calls", COUNT, c->sum.rejected, "forebay_commands_rejected_total", COUNTER, "",          \
      "refused before its handler: number of arguments, password, permission")                                         \
    X(COMMANDSTATS, "failed_calls", COUNT, c->sum.failed, "forebay_commands_failed_total", COUNTER, "",                \
      "its handler answered with an error")

/* e: one first word of errors. INFO: section errorstats, one line "errorstat_WORD:…" each. */
#define FB_ERROR_METRICS(X)                                                                                            \
    X(ERRORSTATS, "count", COUNT, e->count, "forebay_error_replies_total", COUNTER, "",                                \
      "errors with this first word sent to clients; at most 32 words are told apart")

#endif
