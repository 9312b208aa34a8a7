/* The locks of the engine in the order in which they may be taken (top first). A shard's lock is never held together
 * with another shard's. */
#ifndef FB_TBL_LOCKS_H
#define FB_TBL_LOCKS_H

/* X(name, what it covers) */
#define FB_LOCK_MAP(X)                                                                                                \
    X(CONFIG, "the configuration in force, while it is read or changed")                                              \
    X(WATCH, "which events the server wants of the cache")                                                            \
    X(CHANGE, "changes of a running cache: one at a time")                                                            \
    X(TRIPS, "the round trips under way to one source")                                                              \
    X(SHARD, "one shard: table, flights, writers, counters")                                                          \
    X(TIER, "the ways of loads through the store, and what was written")                                              \
    X(BEHIND, "what waits for the flush to one source")                                                               \
    X(LANE, "one lane's queue")                                                                                       \
    X(NAMED, "locks that the application takes by name")                                                              \
    X(PARK, "one blocked caller's completion flag")                                                                   \
    X(CANCEL, "what a session's call is given up with")                                                               \
    X(SOURCE, "a source's last error")                                                                                \
    X(HEALTH, "a source's breaker")                                                                                   \
    X(STORE, "where the store's primaries are")                                                                       \
    X(JOURNAL, "what waits to be written to a journal")                                                               \
    X(PUBSUB, "topics and who listens to them")                                                                       \
    X(TRACKING, "which keys which clients remember: the clients, or a part of the keys")                              \
    X(LOOP, "what other threads hand to an event loop")                                                               \
    X(LOG, "how often each event was logged")

#endif
