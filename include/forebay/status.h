/* Every status Forebay returns, declared once: number, name, first word of the RESP error, whether a retry may
 * help, one line.
 *
 * Outcomes are zero or positive, errors negative. An error never looks like "absent": a source that could not be
 * asked answers FB_DOWN or FB_TIMEOUT, never FB_NOTFOUND. Numbers are part of the ABI and are never reused. */
#ifndef FOREBAY_STATUS_H
#define FOREBAY_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, first word on the wire, retryable, meaning) */
#define FB_STATUS_MAP(X)                                                                                              \
    X(FB_OK, 0, "OK", 0, "done")                                                                                      \
    X(FB_NOTFOUND, 1, "OK", 0, "known to be absent from the source")                                                  \
    X(FB_PENDING, 2, "OK", 0, "accepted; the completion will be called exactly once")                                 \
    X(FB_MISS, 3, "OK", 0, "not in the cache (only from calls that never ask the source)")                            \
    X(FB_LEASE, 4, "OK", 0, "not in the cache; the caller now holds the lease and should load and fill")              \
    X(FB_UNMET, 5, "OK", 0, "a condition of the write did not hold; nothing changed")                                 \
    X(FB_IGNORED, 6, "OK", 0, "accepted and ignored, as the keyspace says (on_set: ignore)")                          \
    X(FB_INVALID, -1, "ERR", 0, "an argument is not valid; nothing changed")                                          \
    X(FB_NOMEM, -2, "ERR", 1, "out of memory; nothing changed")                                                       \
    X(FB_TIMEOUT, -3, "SRCTIMEOUT", 1, "the source did not answer in time; certainly not applied")                    \
    X(FB_BUSY, -4, "SRCBUSY", 1, "a bounded queue is full; nothing was sent")                                         \
    X(FB_SOURCE, -5, "SRCERR", 0, "the source refused; certainly not applied")                                        \
    X(FB_DOWN, -6, "SRCDOWN", 1, "the source cannot be reached; certainly not applied")                               \
    X(FB_UNKNOWN, -7, "UNKNOWN", 0, "the write was sent and its outcome is not known; read before retrying")          \
    X(FB_CONFLICT, -8, "CONFLICT", 0, "a constraint or version check of the source refused the write")                \
    X(FB_BADVALUE, -9, "BADVALUE", 0, "the value does not fit the keyspace; nothing changed")                         \
    X(FB_READONLY, -10, "MAPRO", 0, "the keyspace is read-only; nothing changed")                                     \
    X(FB_NOMAP, -11, "NOMAP", 0, "the key matches no keyspace")                                                       \
    X(FB_WRONGTYPE, -12, "WRONGTYPE", 0, "the operation does not fit the kind of value")                              \
    X(FB_UNSUPPORTED, -13, "ERR", 0, "the keyspace or source cannot do this")                                         \
    X(FB_CLOSED, -14, "ERR", 0, "the cache is closing; nothing changed")                                              \
    X(FB_NOTANUMBER, -15, "ERR", 0, "value is not an integer or out of range; nothing changed")                       \
    X(FB_REFUSED, -16, "ERR", 0, "the fill token is no longer held; the value was not kept")                          \
    X(FB_SYSTEM, -17, "ERR", 0, "a call to the operating system failed")                                              \
    X(FB_CONFIG, -18, "ERR", 0, "the configuration is not valid")                                                     \
    X(FB_STOREDOWN, -19, "STOREDOWN", 1, "the shared second level cannot be reached; certainly not applied")            \
    X(FB_DIRTY, -20, "DIRTY", 1, "too much waits to be flushed, or nothing can be written down; certainly not applied") \
    X(FB_NOTOWNER, -21, "NOTOWNER", 0, "another process owns the partition of this source; nothing changed")

typedef enum fb_status {
#define FB_STATUS_ENUM_(name, number, word, retry, text) name = number,
    FB_STATUS_MAP(FB_STATUS_ENUM_)
#undef FB_STATUS_ENUM_
} fb_status;

/* The name ("FB_TIMEOUT"), the first word on the wire ("SRCTIMEOUT") and the one-line meaning of a status.
 * Never NULL; an unknown number gives "FB_?". Thread-safe. */
const char *fb_status_name(fb_status status);
const char *fb_status_word(fb_status status);
const char *fb_status_text(fb_status status);

/* Non-zero when the same call may succeed later without any change by the caller. Thread-safe. */
int fb_status_retryable(fb_status status);

#define FB_ERR_TEXT_MAX 320 /* bytes with the terminating NUL; long enough for a database message and a hint */

/* What went wrong, owned by the caller. `text` is one sentence without the wire's first word; it may hold bytes that
 * came from a database and must be cleaned before it goes on a wire. */
typedef struct fb_err {
    fb_status status;
    char text[FB_ERR_TEXT_MAX];
} fb_err;

#ifdef __cplusplus
}
#endif
#endif
