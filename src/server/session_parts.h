/* What session.c and session_life.c share of a connection. */
#ifndef FB_SERVER_SESSION_PARTS_H
#define FB_SERVER_SESSION_PARTS_H

#include "server/session.h"

enum { FB_FIRST_TICK = 1 }; /* of a time that is being counted; 0 means "not counting" */

static inline size_t fb_session_unsent(const struct fb_session *s) { return s->out.buf.len - s->out_start; }
static inline size_t fb_session_unread(const struct fb_session *s) { return s->in.len - s->in_start; }
static inline bool fb_session_may_begin(const struct fb_session *s) {
    return !s->is_held && s->nwaits < FB_WAITS_MAX && !fb_link_is_in_list(&s->starved) && !s->is_closing &&
           !s->is_dead;
}

/* Have the loop tell when there is something to read or room to send. */
void fb_session_wait(struct fb_session *session);

#endif
