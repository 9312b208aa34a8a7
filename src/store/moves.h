/* One call of the store as requests to one primary and as its replies. */
#ifndef FB_STORE_MOVES_H
#define FB_STORE_MOVES_H

#include "store/line.h"

/* Append a call's requests, each behind ASKING where a Cluster asked for that; `names` is room for companions. False:
 * the call is answered already. */
bool fb_move_write(struct fb_line *line, struct fb_store_call *call, bool is_asking, fb_buf *names);
/* How many replies it has. */
unsigned fb_move_replies(const struct fb_store_call *call, bool is_asking);
/* Reply number `part` is there, and no error: outcome, answer, value, life. False: it is of no use (out of memory, or
 * no answer of ours), and what there was of a value is taken back. */
bool fb_move_take(struct fb_line *line, struct fb_store_call *call, unsigned part, bool is_asking);
void fb_move_say(struct fb_store_call *call, enum fb_store_outcome outcome, fb_bytes why);

#endif
