/* What the FB. commands share. */
#ifndef FB_SERVER_CMD_FB_H
#define FB_SERVER_CMD_FB_H

#include "server/commands.h"
#include "server/page.h"

/* The number of the keyspace with this pattern; −1, and the error is written, when there is none. */
int fb_call_keyspace(struct fb_call *call, fb_bytes name);
/* "json", "hash", …, as the configuration says it. */
const char *fb_as_word(const fb_keyspace_options *options);
/* Which rows the keyspace shows and how. */
void fb_page_mapping(struct fb_page *page, const fb_keyspace_options *options);

#endif
