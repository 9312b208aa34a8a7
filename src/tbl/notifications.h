/* Keyspace notifications: the classes of events, their letters as in Redis, and what each event of the cache is called.
 *
 * A class of Redis for data that a row cannot be (lists, sets, …) is known and never has an event. */
#ifndef FB_TBL_NOTIFICATIONS_H
#define FB_TBL_NOTIFICATIONS_H

/* X(letter, NAME, in A, what it stands for); in the order in which CONFIG GET shows them */
#define FB_NOTIFY_MAP(X)                                                                                               \
    X('g', GENERIC, 1, "del, expire, persist")                                                                        \
    X('$', STRING, 1, "set, incrby, incrbyfloat")                                                                     \
    X('l', LIST, 1, "never")                                                                                          \
    X('s', SET, 1, "never")                                                                                           \
    X('h', HASH, 1, "hset, hdel, hincrby, hincrbyfloat")                                                              \
    X('z', ZSET, 1, "never")                                                                                          \
    X('x', EXPIRED, 1, "expired: the copy's life ended")                                                              \
    X('e', EVICTED, 1, "evicted: the copy made room for another")                                                     \
    X('t', STREAM, 1, "never")                                                                                        \
    X('d', MODULE, 1, "never")                                                                                        \
    X('K', KEYSPACE, 0, "sent to __keyspace@0__:<key>, with the event as the message")                                \
    X('E', KEYEVENT, 0, "sent to __keyevent@0__:<event>, with the key as the message")                                \
    X('m', MISS, 0, "keymiss: a read found no copy")                                                                  \
    X('n', NEW, 0, "never; accepted because clients ask for it")                                                      \
    X('f', FOREBAY, 0, "loaded, refreshed, invalidated, flushed, stale, doubted")

enum fb_notify_index {
#define FB_NOTIFY_(letter, name, in_a, text) FB_NOTIFY_INDEX_##name,
    FB_NOTIFY_MAP(FB_NOTIFY_)
#undef FB_NOTIFY_
};
enum fb_notify_class {
#define FB_NOTIFY_(letter, name, in_a, text) FB_NOTIFY_##name = 1 << FB_NOTIFY_INDEX_##name,
    FB_NOTIFY_MAP(FB_NOTIFY_)
#undef FB_NOTIFY_
};
/* What A stands for; as in Redis without what comes with every read (m, and so f as well) and without n. */
enum {
#define FB_NOTIFY_(letter, name, in_a, text) + (in_a ? FB_NOTIFY_##name : 0)
    FB_NOTIFY_ALL = 0 FB_NOTIFY_MAP(FB_NOTIFY_)
#undef FB_NOTIFY_
};

#endif
