/* What follows a command's name, as COMMAND DOCS describes arguments. */
#ifndef FB_SERVER_SYNTAX_H
#define FB_SERVER_SYNTAX_H

#include "proto/resp.h"

/* The value of "arguments" in COMMAND DOCS, from the syntax of a row of tbl/commands.h: an array of maps. redis-cli makes
 * its hints of it. */
void fb_syntax_write(struct fb_resp_out *out, const char *syntax);

#endif
