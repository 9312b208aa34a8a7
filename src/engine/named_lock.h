/* Locks that the application takes by name, as a cache opens, ticks and closes them; the calls are in forebay.h. */
#ifndef FB_ENGINE_NAMED_LOCK_H
#define FB_ENGINE_NAMED_LOCK_H

#include <forebay/forebay.h>

struct fb_named_locks;

/* NULL: no memory. */
struct fb_named_locks *fb_named_locks_create(void);
/* Nobody waits any more. NULL accepted. */
void fb_named_locks_destroy(struct fb_named_locks *locks);
/* The ticker's: what ends by time. */
void fb_named_locks_tick(fb_cache *cache);
/* The cache closes: who waits is told. */
void fb_named_locks_withdraw(fb_cache *cache);

#endif
