/* What the cache tells, passed on: keyspace notifications, invalidations; and what it is asked to tell. */
#ifndef FB_SERVER_NOTIFY_H
#define FB_SERVER_NOTIFY_H

#include "server/state.h"
#include "tbl/notifications.h"

/* After what is wanted has changed (the setting, the first or last tracking client): what the cache tells is what
 * anybody wants. Any thread that holds no lock. */
void fb_watch_adopt(struct fb_server *server);
/* Nothing more; returns when no call is under way. */
void fb_watch_end(struct fb_server *server);

/* A read found nothing in the cache (class m). */
void fb_notify_miss(struct fb_server *server, fb_bytes key);

#endif
