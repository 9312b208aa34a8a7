/* The stampede lock: of many who miss at once, one loads.
 *
 * By hand it is SET lock:KEY 1 NX EX 10, load, SETEX, DEL lock:KEY in `finally`; the others sleep for 0.1 s, look again, and
 * load by themselves if there is nothing. The flaws: a load that takes longer than 0.1 s stampedes after all, exactly when
 * the database is slow; one that takes longer than 10 s deletes the lock of another; and a value that was loaded before an
 * UPDATE is stored after it.
 *
 * Here whoever misses gets a lease with a token. The others wait for what its holder hands in, not for a time, and are woken
 * by it; if the holder dies, the lease ends after 3 s and goes to the next of them. The fill is taken only while the lease
 * is held: a write or an invalidation takes it away.
 *
 * Not when Forebay can do the query itself: a read-through keyspace does all of this without a line of code. */
#include "example.h"

#include <pthread.h>
#include <time.h>

enum { CALLERS = 100, QUERY_MS = 300 };

struct caller {
    pthread_t thread;
    fb_cache *cache;
    fb_status status;
    int has_loaded;
    fb_buf report;
};

static int queries;
static int dies; /* the first holder: as a process that is killed */

/* The reading half: as long a query as it may be, one asks. */
static void *get_report(void *arg) {
    struct caller *c = arg;
    uint64_t token;
    fb_err err;
    c->report.len = 0;
    c->status = fb_get_or_lease(c->cache, FB_STR("report:1"), 10000, &c->report, &token, &err);
    if (c->status != FB_LEASE)
        return NULL;
    if (__atomic_exchange_n(&dies, 0, __ATOMIC_RELAXED))
        return NULL;
    int n = __atomic_add_fetch(&queries, 1, __ATOMIC_RELAXED);
    char text[32];
    usleep(QUERY_MS * 1000);
    snprintf(text, sizeof text, "report %d", n);
    if (fb_buf_append(&c->report, text, strlen(text)) != FB_OK)
        example_give_up("report", "no memory");
    (void)fb_fill(c->cache, FB_STR("report:1"), token, fb_bytes_of(c->report.data, c->report.len), 0, &err);
    c->has_loaded = 1;
    c->status = FB_OK;
    return NULL;
}

static int all_at_once(struct caller *callers, fb_cache *cache, const char *expected) {
    int served = 0;
    for (int i = 0; i < CALLERS; i++) {
        callers[i].cache = cache;
        if (pthread_create(&callers[i].thread, NULL, get_report, &callers[i]) != 0)
            example_give_up("pthread_create", "cannot start a thread");
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i].thread, NULL);
    for (int i = 0; i < CALLERS; i++)
        served += callers[i].status == FB_OK && is_text(&callers[i].report, expected);
    return served;
}

int main(void) {
    struct example e;
    static struct caller callers[CALLERS];
    fb_source *shop;
    fb_err err;
    uint64_t token, other, fence, next_fence;
    fb_buf row = FB_BUF_INIT;
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = "report:{id:int}";
    ks.table = "reports";
    ks.as = "column:text";
    ks.read = FB_READ_ASIDE;

    printf("stampede lock\n");
    example_begin(&e, "CREATE TABLE reports(id INTEGER PRIMARY KEY, text TEXT NOT NULL)");
    fb_cache *cache = example_open(&e, &ks, NULL, &shop);

    int served = all_at_once(callers, cache, "report 1");
    claim(&e, served == CALLERS && queries == 1, "%d callers miss at once, the query takes %d ms: %d query, %d served",
          CALLERS, QUERY_MS, queries, served);

    /* Whoever has changed the row says so; a fill from before that comes too late. */
    (void)fb_invalidate(cache, FB_STR("report:1"), &err);
    fb_status lease = fb_get_or_lease(cache, FB_STR("report:1"), 0, &row, &token, &err);
    (void)fb_invalidate(cache, FB_STR("report:1"), &err);
    fb_status fill = fb_fill(cache, FB_STR("report:1"), token, FB_STR("old"), 0, &err);
    claim(&e, lease == FB_LEASE && fill == FB_REFUSED, "a fill that a change has overtaken is refused");

    /* The holder dies: its lease ends by time, and one of those who wait gets the next. */
    dies = 1;
    served = all_at_once(callers, cache, "report 2");
    claim(&e, served == CALLERS - 1 && queries == 2, "the holder dies: the next of them loads, %d query, %d served", queries - 1,
          served);

    /* A lock by name, for what is no value: with a token, and a number that tells the holders apart. */
    fb_status first = fb_lock(cache, FB_STR("nightly"), 50, 0, &token, &fence, &err);
    fb_status second = fb_lock(cache, FB_STR("nightly"), 60000, 5000, &other, &next_fence, &err); /* the first is over */
    claim(&e, first == FB_OK && second == FB_OK && next_fence > fence, "a lock ends by itself; the next holder's number is larger");
    claim(&e, fb_unlock(cache, FB_STR("nightly"), token, &err) == FB_REFUSED &&
                  fb_unlock(cache, FB_STR("nightly"), other, &err) == FB_OK,
          "who comes back late cannot free the lock of another");

    for (int i = 0; i < CALLERS; i++)
        fb_buf_free(&callers[i].report);
    fb_buf_free(&row);
    fb_close(cache);
    return example_end(&e);
}
