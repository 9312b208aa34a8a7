/* The events that the server's log knows. Their names are an interface: whoever watches a log matches on them. The log,
 * its levels and docs/events.md come from these rows.
 *
 * X(id, name, level, limit, fields, text)
 *   level    ERROR, WARNING, NOTICE, INFO, DEBUG
 *   limit    LIMITED: what strangers or a broken source can cause as often as they like is written at most
 *            FB_LOG_BURST times in FB_LOG_WINDOW_MS, and the next line says how many were left out. EVERY: never left out
 *   fields   the names of its fields, for the reference page
 *   text     when it is written, for the reference page */
#ifndef FB_TBL_EVENTS_H
#define FB_TBL_EVENTS_H

#define FB_LOG_EVENTS(X)                                                                                               \
    X(SERVE_READY, "serve.ready", NOTICE, EVERY, "admin listen keyspaces config", "clients can connect")               \
    X(SERVE_STOPPING, "serve.stopping", NOTICE, EVERY, "signal",                                                       \
      "a signal or SHUTDOWN asked for a stop; requests under way are answered")                                        \
    X(SERVE_STOPPED, "serve.stopped", NOTICE, EVERY, "", "everything is closed; the process ends")                     \
    X(SERVE_STATE, "serve.state", NOTICE, EVERY, "memory_used keys negative_keys",                                     \
      "SIGUSR2: the cache as a whole; a line for each keyspace and source follows")                                    \
    X(SERVE_STATE_KEYSPACE, "serve.state.keyspace", NOTICE, EVERY, "keyspace keys hits misses loads load_errors",      \
      "SIGUSR2: one keyspace")                                                                                         \
    X(SERVE_STATE_SOURCE, "serve.state.source", NOTICE, EVERY, "source read_trips write_trips errors waiting",         \
      "SIGUSR2: one source")                                                                                           \
    X(ADMIN_ABSENT, "admin.absent", WARNING, EVERY, "listen error",                                                    \
      "the default address of server.admin is taken; the server runs without metrics and health over HTTP")            \
    X(CONFIG_RELOAD_APPLIED, "config.reload.applied", NOTICE, EVERY, "changed needs_restart",                          \
      "SIGHUP or FB.RELOAD: the file was read and what may change while running has changed")                          \
    X(CONFIG_RELOAD_REJECTED, "config.reload.rejected", ERROR, EVERY, "errors",                                        \
      "SIGHUP or FB.RELOAD: something is wrong with the file; the old configuration stays")                            \
    X(CONFIG_DIAGNOSTIC, "config.diagnostic", ERROR, EVERY, "severity code file line column help",                     \
      "one fault or warning of a file that was read again")                                                            \
    X(CONFIG_SET, "config.set", NOTICE, LIMITED, "changed", "CONFIG SET changed settings")                             \
    X(CLIENT_REFUSED, "client.refused", WARNING, LIMITED, "address reason", "a connection was refused")                \
    X(CLIENT_CLOSED, "client.closed", INFO, LIMITED, "address reason", "a connection was closed by the server")        \
    X(CLIENT_PROTOCOL, "client.protocol", WARNING, LIMITED, "address reason",                                          \
      "a client sent what is no request and was closed")                                                               \
    X(AUTH_FAILED, "auth.failed", WARNING, LIMITED, "address user", "a wrong user name or password was given")         \
    X(SOURCE_DOWN, "source.down", ERROR, LIMITED, "source error", "a source does not answer any more")                 \
    X(SOURCE_UP, "source.up", NOTICE, LIMITED, "source", "a source answers again")                                     \
    X(SHARING_DOWN, "sharing.down", ERROR, LIMITED, "store error",                                                     \
      "the shared store does not answer: rows come from their sources, and writes are refused where on_down is strict")\
    X(SHARING_UP, "sharing.up", NOTICE, LIMITED, "store", "the shared store answers again")                            \
    X(SHARING_UNPROVED, "sharing.unproved", WARNING, LIMITED, "store",                                                 \
      "the shared store does not tell of changes any more: copies of this process do not serve until it does")         \
    X(SHARING_PROVED, "sharing.proved", NOTICE, LIMITED, "store",                                                      \
      "the shared store tells of changes: copies of this process serve")                                               \
    X(BEHIND_LEFT, "behind.left", ERROR, EVERY, "writes",                                                              \
      "the process ends before write-behind has brought everything to the database; the journal has it")               \
    X(BEHIND_BROKEN, "behind.broken", ERROR, EVERY, "source error",                                                    \
      "a journal could not be written or synced; nothing is written to it any more (server.on_fsync_error)")           \
    X(BEHIND_LOST, "behind.lost", ERROR, EVERY, "source error",                                                        \
      "another process has taken a source from this one; what was pending becomes dead letters (code FENCED)")         \
    X(BEHIND_AGAIN, "behind.again", WARNING, LIMITED, "source",                                                        \
      "the database has gone back to an older state (a failover, a backup): what it had lost is flushed again")        \
    X(BEHIND_STOPPED, "behind.stopped", ERROR, LIMITED, "source error",                                                \
      "the database refuses write-behind's batches as such (a table, column or right is missing); everything is kept") \
    X(BEHIND_BACK, "behind.back", NOTICE, LIMITED, "source", "write-behind flushes again")                             \
    X(BEHIND_LAG, "behind.lag", WARNING, LIMITED, "source oldest_ms writes",                                           \
      "the oldest pending write is older than server.flush_soft_age")                                                  \
    X(BEHIND_DEAD, "behind.dead", ERROR, LIMITED, "source letters",                                                    \
      "the database refused acknowledged writes; FB.DEAD LIST shows them")                                             \
    X(STORE_LOST, "store.lost", ERROR, LIMITED, "store reason", "the store does not answer any more")                  \
    X(STORE_BACK, "store.back", NOTICE, LIMITED, "store", "the store answers again")                                    \
    X(PEER_LOST, "peer.lost", ERROR, LIMITED, "peer reason",                                                           \
      "the Forebay that owns a partition does not answer any more; what is forwarded to it is refused")                \
    X(PEER_BACK, "peer.back", NOTICE, LIMITED, "peer reason", "it answers again")                                      \
    X(STORE_STARTED, "store.started", NOTICE, EVERY, "program pid data",                                               \
      "'store.url: auto': the private Redis was started at the start of Forebay")                                      \
    X(STORE_ENDED, "store.ended", ERROR, LIMITED, "how pause_ms data",                                                 \
      "the private Redis ended by itself; it is started again after a pause")                                          \
    X(STORE_ABSENT, "store.absent", WARNING, EVERY, "reason",                                                          \
      "'store.url: auto', and no program for it is installed; what would go to the store is refused")

#endif
