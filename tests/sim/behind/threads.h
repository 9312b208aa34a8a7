/* Many threads in one: the engine's threads as coroutines that a seed schedules, on a clock that only the world moves.
 *
 * The engine makes threads with pthread_create, waits with base/lock.h and reads base/clock.h; threads.c stands in for all
 * of these, and for base/mem.h and base/rng.h. A coroutine may lose its turn before it takes a lock and after it lets one
 * go, and at every wait; nothing else of the shipped code is replaced. So a run is a function of its seed, every order that
 * real threads could take at their locks can be met, and a process can die between any two of its steps.
 *
 * Every coroutine and every allocation belongs to the process of who made it: killing a process drops both. */
#ifndef TESTS_SIM_BEHIND_THREADS_H
#define TESTS_SIM_BEHIND_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/time.h"

enum { PROCESSES_MAX = 3, WORLD = 0 /* a process that is never killed */ };

/* A new world: no coroutines, the clock at its beginning, everything drawn from this seed. */
void threads_init(uint64_t seed, unsigned switches);
/* Drops what is left. */
void threads_finish(void);
extern struct fb_rng world_rng;
bool world_happens(unsigned one_in); /* 0: never */
int64_t world_now_ms(void);
void world_pass(int64_t ns); /* time goes by without anybody's doing */

/* Run `main` in a new coroutine of this process. */
void thread_start(unsigned process, void *(*run)(void *arg), void *arg);
/* Take a step with some coroutine that can take one; the clock moves when none can. False: nothing can ever move again. */
bool threads_step(void);
/* Drop a process. Not from one of its own coroutines. */
void process_kill(unsigned process);
size_t process_allocations(unsigned process);
unsigned process_threads(unsigned process);

/* Within a coroutine. */
void thread_rest(int64_t ns);              /* others may go on meanwhile */
void thread_await(const bool *flag);       /* until somebody has set it */
const char *threads_fault(void);           /* a lock taken in a wrong order, …: NULL when there was none */

#endif
