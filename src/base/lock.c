/* Mutexes with ranks, checked in builds with assertions. */
#include "base/lock.h"

#include <assert.h>
#include <stdint.h>
#include <time.h>

#ifndef NDEBUG
static _Thread_local uint32_t held; /* a bit per rank this thread holds */
static void check_ascent(const struct fb_lock *lock) { assert((held >> lock->rank) == 0); }
static void note_held(const struct fb_lock *lock) { held |= 1u << lock->rank; }
static void note_free(const struct fb_lock *lock) { held &= ~(1u << lock->rank); }
#else
static void check_ascent(const struct fb_lock *lock) { (void)lock; }
static void note_held(const struct fb_lock *lock) { (void)lock; }
static void note_free(const struct fb_lock *lock) { (void)lock; }
#endif

void fb_lock_init(struct fb_lock *lock, enum fb_lock_rank rank) {
    /* Held for a few microseconds at most: worth a look or two before sleep and wake-up, which cost more. */
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&lock->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    lock->rank = rank;
}

void fb_lock_finish(struct fb_lock *lock) { pthread_mutex_destroy(&lock->mutex); }

void fb_lock_acquire(struct fb_lock *lock) {
    check_ascent(lock);
    pthread_mutex_lock(&lock->mutex);
    note_held(lock);
}

void fb_lock_release(struct fb_lock *lock) {
    note_free(lock);
    pthread_mutex_unlock(&lock->mutex);
}

void fb_cond_init(struct fb_cond *cond) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&cond->cond, &attr);
    pthread_condattr_destroy(&attr);
}

void fb_cond_finish(struct fb_cond *cond) { pthread_cond_destroy(&cond->cond); }

void fb_cond_wait(struct fb_cond *cond, struct fb_lock *lock) {
    note_free(lock);
    pthread_cond_wait(&cond->cond, &lock->mutex);
    note_held(lock);
}

void fb_cond_wait_until(struct fb_cond *cond, struct fb_lock *lock, fb_instant due) {
    struct timespec ts = {due.ns / 1000000000, due.ns % 1000000000};
    note_free(lock);
    pthread_cond_timedwait(&cond->cond, &lock->mutex, &ts);
    note_held(lock);
}

void fb_cond_signal(struct fb_cond *cond) { pthread_cond_signal(&cond->cond); }
void fb_cond_broadcast(struct fb_cond *cond) { pthread_cond_broadcast(&cond->cond); }
