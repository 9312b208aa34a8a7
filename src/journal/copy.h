/* A segment written in one go, under a new salt, that takes its name when all of it is on the disk: what recovery
 * makes of the last segment, and salvage of what can be read. */
#ifndef FB_JOURNAL_COPY_H
#define FB_JOURNAL_COPY_H

#include "journal/files.h"
#include "journal/format.h"

#define FB_COPY_NAME "copy.tmp"

struct fb_copy {
    struct fb_files *files;
    int handle;                  /* −1: none is under way */
    struct fb_segment_head head;
    uint32_t seed;
    uint64_t at, next_seq;
    fb_buf group;
};

/* The int of these is 0 or a negative errno. `head`: uuid, epoch, first_seq, follows and the day it was made are
 * kept. */
int fb_copy_begin(struct fb_copy *copy, const struct fb_segment_head *head);
int fb_copy_group(struct fb_copy *copy, uint64_t first_seq, uint32_t count, fb_bytes records);
/* A mark, the head; synced; then the name, in the place of what has it. The copy can begin anew. */
int fb_copy_end(struct fb_copy *copy, const char *name);
void fb_copy_finish(struct fb_copy *copy);

#endif
