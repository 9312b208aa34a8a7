/* Coroutines instead of threads; see threads.h. Stands in for base/lock.c, clock.c, rng.c, mem.c and pthread_create. */
#include "threads.h"

#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/mem.h"

enum { THREADS_MAX = 96, STACK_BYTES = 256 << 10, LOCALS_MAX = 1024, SPURIOUS = 60 };

enum wait { READY, LOCK, COND, REST, FLAG, JOIN, OVER };

struct thread {
    ucontext_t context;
    char *stack;
    bool is_used;
    enum wait wait;
    const void *on;
    int64_t due;
    unsigned process;
    uint32_t held; /* a bit per rank */
    void *(*run)(void *arg);
    void *arg;
    bool is_joined;
    uint8_t locals[LOCALS_MAX]; /* its thread-local variables, while it is not its turn */
};

static struct thread threads[THREADS_MAX];
static struct thread *current; /* NULL: the world itself */
static ucontext_t outside;
static int64_t now_ns;
static unsigned switch_one_in;
static const char *fault;
struct fb_rng world_rng;

bool world_happens(unsigned one_in) { return one_in > 0 && fb_rng_below(&world_rng, one_in) == 0; }
int64_t world_now_ms(void) { return now_ns / FB_NS_PER_MS; }
void world_pass(int64_t ns) { now_ns += ns; }
const char *threads_fault(void) { return fault; }

/* ---- memory ---- */

struct block {
    struct fb_link link;
    size_t size, process;
};
static struct fb_link blocks[PROCESSES_MAX];
static size_t nblocks[PROCESSES_MAX];

static unsigned process_of_current(void) { return current != NULL ? current->process : WORLD; }

void *fb_mem_alloc(size_t size) {
    unsigned process = process_of_current();
    struct block *block = malloc(sizeof *block + size);
    if (block == NULL)
        abort();
    block->size = size;
    block->process = process;
    fb_list_push_back(&blocks[process], &block->link);
    nblocks[process]++;
    return block + 1;
}

void *fb_mem_calloc(size_t n, size_t size) {
    void *made = fb_mem_alloc(n * size);
    memset(made, 0, n * size);
    return made;
}

void fb_mem_free(void *ptr) {
    if (ptr == NULL)
        return;
    struct block *block = (struct block *)ptr - 1;
    fb_list_remove(&block->link);
    nblocks[block->process]--;
    free(block);
}

void *fb_mem_realloc(void *old, size_t size) {
    void *made = fb_mem_alloc(size);
    if (old != NULL) {
        size_t was = ((struct block *)old - 1)->size;
        memcpy(made, old, was < size ? was : size);
        fb_mem_free(old);
    }
    return made;
}

char *fb_mem_strdup(const char *text) {
    size_t n = text != NULL ? strlen(text) + 1 : 0;
    return text != NULL ? memcpy(fb_mem_alloc(n), text, n) : NULL;
}

void fb_mem_fail_after(int64_t n) { (void)n; }
size_t process_allocations(unsigned process) { return nblocks[process]; }

/* ---- the clock, and chance ---- */

fb_instant fb_clock_now(void) { return (fb_instant){now_ns}; }
int64_t fb_clock_wall_us(void) { return now_ns / 1000; }
void fb_clock_sleep(fb_span span) { thread_rest(span.ns); }

void fb_rng_system(void *out, size_t len) {
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = (uint8_t)fb_rng_next(&world_rng);
}

/* ---- thread-local variables ---- */

static struct { uint8_t *here; const uint8_t *first; size_t size, given; } locals; /* of the program, not of its libraries */

static int find_locals(struct dl_phdr_info *info, size_t size, void *user) {
    (void)size;
    (void)user;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_TLS)
            continue;
        locals.here = info->dlpi_tls_data;
        locals.first = (const uint8_t *)(info->dlpi_addr + p->p_vaddr);
        locals.size = p->p_memsz;
        locals.given = p->p_filesz;
        if (locals.size > LOCALS_MAX)
            abort();
    }
    return 1; /* the program is the first */
}

/* ---- turns ---- */

static void give_turn(void) {
    struct thread *me = current;
    if (me == NULL)
        return;
    current = NULL;
    swapcontext(&me->context, &outside);
}

static void wait_for(enum wait wait, const void *on, int64_t due) {
    current->wait = wait;
    current->on = on;
    current->due = due;
    give_turn();
}

static void maybe_give_turn(void) {
    if (current != NULL && world_happens(switch_one_in))
        give_turn();
}

void thread_rest(int64_t ns) {
    if (current != NULL)
        wait_for(REST, NULL, now_ns + (ns > 0 ? ns : 0));
}

void thread_await(const bool *flag) {
    while (!*flag)
        wait_for(FLAG, flag, INT64_MAX);
}

static void begin(void) {
    current->run(current->arg);
    current->wait = OVER;
    give_turn();
}

static struct thread *make(unsigned process, void *(*run)(void *), void *arg) {
    struct thread *t = threads;
    while (t < threads + THREADS_MAX && t->is_used)
        t++;
    if (t == threads + THREADS_MAX)
        abort();
    char *stack = t->stack != NULL ? t->stack : malloc(STACK_BYTES);
    *t = (struct thread){.stack = stack, .is_used = true, .process = process, .run = run, .arg = arg};
    memcpy(t->locals, locals.first, locals.given);
    getcontext(&t->context);
    t->context.uc_stack.ss_sp = stack;
    t->context.uc_stack.ss_size = STACK_BYTES;
    t->context.uc_link = NULL;
    makecontext(&t->context, begin, 0);
    return t;
}

void thread_start(unsigned process, void *(*run)(void *), void *arg) { make(process, run, arg)->is_joined = true; }

static bool can_go(const struct thread *t) {
    switch (t->wait) {
    case READY: return true;
    case REST: return now_ns >= t->due;
    case COND: return now_ns >= t->due;
    case FLAG: return *(const bool *)t->on;
    case LOCK: return *(const bool *)t->on == false;
    case JOIN: return ((const struct thread *)t->on)->wait == OVER;
    case OVER: break;
    }
    return false;
}

bool threads_step(void) {
    struct thread *ready[THREADS_MAX];
    unsigned n = 0;
    int64_t next = INT64_MAX;
    for (struct thread *t = threads; t < threads + THREADS_MAX; t++) {
        if (!t->is_used)
            continue;
        if (can_go(t))
            ready[n++] = t;
        else if ((t->wait == REST || t->wait == COND) && t->due < next)
            next = t->due;
    }
    if (n == 0) {
        if (next == INT64_MAX)
            return false;
        now_ns = next;
        return true;
    }
    now_ns += 1000 + (int64_t)fb_rng_below(&world_rng, 20000);
    current = ready[fb_rng_below(&world_rng, n)];
    current->wait = READY;
    struct thread *went = current;
    memcpy(locals.here, went->locals, locals.size);
    swapcontext(&outside, &went->context);
    memcpy(went->locals, locals.here, locals.size);
    current = NULL;
    if (went->wait == OVER && went->is_joined)
        went->is_used = false;
    return true;
}

void process_kill(unsigned process) {
    for (struct thread *t = threads; t < threads + THREADS_MAX; t++)
        if (t->is_used && t->process == process)
            t->is_used = false;
    for (struct fb_link *l; (l = fb_list_pop_front(&blocks[process])) != NULL;)
        free(fb_member_of(l, struct block, link));
    nblocks[process] = 0;
}

unsigned process_threads(unsigned process) {
    unsigned n = 0;
    for (const struct thread *t = threads; t < threads + THREADS_MAX; t++)
        n += t->is_used && t->process == process;
    return n;
}

void threads_init(uint64_t seed, unsigned switches) {
    if (locals.here == NULL)
        (void)dl_iterate_phdr(find_locals, NULL);
    world_rng.state = seed;
    switch_one_in = switches;
    now_ns = INT64_C(1000000000);
    fault = NULL;
    for (unsigned i = 0; i < PROCESSES_MAX; i++)
        if (blocks[i].next == NULL)
            fb_list_init(&blocks[i]);
}

void threads_finish(void) {
    for (unsigned i = 0; i < PROCESSES_MAX; i++)
        process_kill(i);
}

/* ---- threads ---- */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **ret);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
    (void)attr;
    *thread = (pthread_t)(make(process_of_current(), run, arg) - threads);
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret) {
    struct thread *t = &threads[thread];
    (void)ret;
    if (t->wait != OVER)
        wait_for(JOIN, t, INT64_MAX);
    t->is_used = false;
    return 0;
}

/* ---- locks ---- */

/* What lies in the place of the mutex. */
static bool *taken(struct fb_lock *lock) { return (bool *)&lock->mutex; }

void fb_lock_init(struct fb_lock *lock, enum fb_lock_rank rank) {
    memset(&lock->mutex, 0, sizeof lock->mutex);
    lock->rank = rank;
}

void fb_lock_finish(struct fb_lock *lock) {
    if (*taken(lock))
        fault = "a lock is freed while it is held";
}

void fb_lock_acquire(struct fb_lock *lock) {
    maybe_give_turn();
    if (current != NULL && (current->held >> lock->rank) != 0)
        fault = "a lock is taken out of order";
    while (*taken(lock))
        wait_for(LOCK, taken(lock), INT64_MAX);
    *taken(lock) = true;
    if (current != NULL)
        current->held |= 1u << lock->rank;
}

void fb_lock_release(struct fb_lock *lock) {
    if (!*taken(lock))
        fault = "a lock is let go that nobody holds";
    *taken(lock) = false;
    if (current != NULL)
        current->held &= ~(1u << lock->rank);
    maybe_give_turn();
}

void fb_cond_init(struct fb_cond *cond) { (void)cond; }
void fb_cond_finish(struct fb_cond *cond) { (void)cond; }

void fb_cond_wait_until(struct fb_cond *cond, struct fb_lock *lock, fb_instant due) {
    *taken(lock) = false;
    current->held &= ~(1u << lock->rank);
    bool is_spurious = world_happens(SPURIOUS);
    wait_for(is_spurious ? REST : COND, cond, is_spurious ? now_ns : due.ns);
    while (*taken(lock))
        wait_for(LOCK, taken(lock), INT64_MAX);
    *taken(lock) = true;
    current->held |= 1u << lock->rank;
}

void fb_cond_wait(struct fb_cond *cond, struct fb_lock *lock) { fb_cond_wait_until(cond, lock, FB_NEVER); }

static void wake(struct fb_cond *cond, bool is_all) {
    struct thread *waiting[THREADS_MAX];
    unsigned n = 0;
    for (struct thread *t = threads; t < threads + THREADS_MAX; t++)
        if (t->is_used && t->wait == COND && t->on == cond)
            waiting[n++] = t;
    unsigned pick = n > 0 ? (unsigned)fb_rng_below(&world_rng, n) : 0;
    for (unsigned i = 0; i < n; i++)
        if (is_all || i == pick)
            waiting[i]->wait = READY;
}

void fb_cond_signal(struct fb_cond *cond) { wake(cond, false); }
void fb_cond_broadcast(struct fb_cond *cond) { wake(cond, true); }
