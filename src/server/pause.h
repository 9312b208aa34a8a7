/* CLIENT PAUSE: requests (or writes alone) of all connections wait until it is over. */
#ifndef FB_SERVER_PAUSE_H
#define FB_SERVER_PAUSE_H

#include "server/gates.h"

/* Any thread. A new pause takes the place of the one before. */
void fb_pause(struct fb_server *server, int64_t ms, bool only_writes);
void fb_unpause(struct fb_server *server);

/* The gate. What concerns the server (FB_CMD_ADMIN) passes, so that somebody can look and end it. */
enum fb_passage fb_gate_pause(struct fb_call *call);
/* The loop's: begin and end of its timer. */
void fb_pause_init(struct fb_loop *loop);
void fb_pause_close(struct fb_loop *loop);

#endif
