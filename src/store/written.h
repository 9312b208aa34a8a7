/* The names that this process wrote of late, with the times: what has to be invalidated again when a failover of the
 * store, or a silence of it, may have undone it. A ring of bytes: the oldest go, and what they went up to is known. */
#ifndef FB_STORE_WRITTEN_H
#define FB_STORE_WRITTEN_H

#include <forebay/forebay.h>

#include "base/time.h"

struct fb_written {
    char *bytes;
    size_t size;
    uint64_t first, next;      /* positions ever; bytes[first % size] is the oldest name's beginning */
    fb_instant forgotten;      /* names up to here may be gone; the zero instant: none is */
};

/* FB_OK or FB_NOMEM. */
fb_status fb_written_init(struct fb_written *ring, size_t size);
void fb_written_finish(struct fb_written *ring);
void fb_written_note(struct fb_written *ring, fb_bytes key, fb_instant now);
/* Are all names since then still there? */
bool fb_written_reaches(const struct fb_written *ring, fb_instant since);
/* Walk the names, oldest first: start with *cursor = 0; false at the end. The name is copied to `ret_key` (emptied
 * first); names that have gone meanwhile are passed over. */
bool fb_written_next(const struct fb_written *ring, uint64_t *cursor, fb_instant since, fb_buf *ret_key);

#endif
