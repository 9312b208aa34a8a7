/* Mutexes with ranks: a thread may only take a lock of a higher rank than those it holds. The ranks are the rows of
 * tbl/locks.h; builds with assertions check every acquisition, so a wrong order fails at once and not some day.
 *
 * No lock is held over a vtable call, a callback or a system call that can block. */
#ifndef FB_BASE_LOCK_H
#define FB_BASE_LOCK_H

#include <pthread.h>

#include "base/time.h"
#include "tbl/locks.h"

enum fb_lock_rank {
#define FB_LOCK_ENUM_(name, text) FB_LOCK_##name,
    FB_LOCK_MAP(FB_LOCK_ENUM_)
#undef FB_LOCK_ENUM_
    FB_LOCK_COUNT_
};

struct fb_lock {
    pthread_mutex_t mutex;
    enum fb_lock_rank rank;
};

struct fb_cond { pthread_cond_t cond; };

void fb_lock_init(struct fb_lock *lock, enum fb_lock_rank rank);
void fb_lock_finish(struct fb_lock *lock);
void fb_lock_acquire(struct fb_lock *lock);
void fb_lock_release(struct fb_lock *lock);

void fb_cond_init(struct fb_cond *cond);
void fb_cond_finish(struct fb_cond *cond);
void fb_cond_wait(struct fb_cond *cond, struct fb_lock *lock);
/* Wait at most until `due` (monotonic); spurious wake-ups are the caller's loop's business. */
void fb_cond_wait_until(struct fb_cond *cond, struct fb_lock *lock, fb_instant due);
void fb_cond_signal(struct fb_cond *cond);
void fb_cond_broadcast(struct fb_cond *cond);

#endif
