/* Can the sources be reached? Told by the outcomes of what clients did, and by a small query of our own when somebody
 * asks and nothing has been known for a second. */
#ifndef FB_SERVER_HEALTH_H
#define FB_SERVER_HEALTH_H

#include "server/state.h"

enum {
    FB_SOURCES_MAX = 64,        /* as the configuration allows */
    FB_PROBE_INTERVAL_MS = 1000, /* between two queries of our own to one source */
    FB_FORGIVEN_MS = 5000,      /* after a failure, of a source that cannot be asked */
    FB_PROBE_WAIT_MS = 1000,    /* that somebody who asks waits for them; then what was known holds */
};

struct fb_source_state {
    const fb_source *source;
    const char *name;
    bool is_up;
    char why[FB_ERR_TEXT_MAX]; /* not up */
};

fb_status fb_health_init(struct fb_server *server);
void fb_health_free(struct fb_server *server);

/* What is known of the sources now, in the order in which keyspaces name them; returns how many. Asks nobody. */
unsigned fb_health_look(struct fb_server *server, struct fb_source_state ret_states[FB_SOURCES_MAX]);
/* Once a second, on one thread: log which sources have come and gone. */
void fb_health_tick(struct fb_server *server);
/* Ask those of which nothing is known since FB_PROBE_INTERVAL_MS, and wait for the answers, at most FB_PROBE_WAIT_MS. */
void fb_health_probe(struct fb_server *server);

#endif
