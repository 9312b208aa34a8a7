/* The configuration of a running server: what CONFIG GET reads, CONFIG SET changes and a reload replaces.
 *
 * It is one object behind one lock. A change makes a new one (conf/change.c), hands what it says to the server and the
 * cache, and takes the old one's place; when something refuses, the old one is handed out again and stays. */
#ifndef FB_CLI_LIVE_H
#define FB_CLI_LIVE_H

#include "base/lock.h"
#include "conf/conf.h"
#include "server/server.h"

struct fb_live {
    struct fb_lock lock;             /* rank CONFIG */
    struct fb_conf *conf;            /* in force; owned */
    const struct fb_conf_args *args; /* what it was read with; borrowed */
    fb_cache *cache;
    struct fb_server *server;        /* NULL until it has started */
};

/* `conf` belongs to the live object from now on. */
void fb_live_begin(struct fb_live *live, struct fb_conf *conf, const struct fb_conf_args *args, fb_cache *cache);
void fb_live_finish(struct fb_live *live);
/* What the server is started with, without callbacks; borrows from `conf`. */
struct fb_server_options fb_live_options(const struct fb_conf *conf);
/* Look at the files that the configuration names (users, certificates); faults become diagnostics. FB_OK or FB_CONFIG. */
fb_status fb_live_check_files(struct fb_conf *conf);
/* The form and level of the log. */
void fb_live_log(const struct fb_conf *conf);
int64_t fb_live_drain_ms(struct fb_live *live);

/* Callbacks of the server (fb_server_options); `user` is the live object. Any thread. */
void fb_live_get(void *user, const char *glob, fb_config_emit *emit, void *emit_user);
fb_status fb_live_set(void *user, const fb_field *pairs, size_t n, size_t *ret_which, fb_err *reterr);
/* Read the file again with the same flags and environment. All is well: what may change does, and the lines say what
 * changed and what needs a restart. Else nothing changes, and the error is the first of what is wrong. Logged. */
fb_status fb_live_reload(void *user, fb_buf *ret_text, fb_err *reterr);
/* The same without changing anything, and with the databases asked. */
fb_status fb_live_check(void *user, fb_buf *ret_text, fb_err *reterr);

#endif
