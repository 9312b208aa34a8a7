/* What each script costs a Redis: microseconds of its own time per call, as it counts them (INFO commandstats).
 *
 *     script_cost [CALLS]      20,000 of each. Not a test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/store_world.h"

enum { BATCH = 500, VALUE = 256 };

static struct store_world world;
static struct fb_store *store;
static struct fb_store_call calls[BATCH];
static fb_buf values[BATCH];
static char names[BATCH][24], bytes[VALUE];

static void run_all(enum fb_store_move move, bool is_fresh) {
    for (size_t i = 0; i < BATCH; i++) {
        if (is_fresh)
            calls[i].token = fb_store_token(store);
        values[i].len = 0;
    }
    fb_store_many(store, move, calls, BATCH, store_world_soon());
}

static double cost(void) {
    const char *at = strstr(store_world_ask(&world, "INFO", "commandstats", NULL), "cmdstat_evalsha:");
    at = at != NULL ? strstr(at, "usec_per_call=") : NULL;
    return at != NULL ? strtod(at + strlen("usec_per_call="), NULL) : -1;
}

static void measure(size_t rounds, const char *name, enum fb_store_move before, enum fb_store_move move) {
    bool is_begun = before != FB_STORE_GET;
    double sum = 0;
    for (size_t i = 0; i < rounds; i++) {
        (void)store_world_ask(&world, "FLUSHALL", NULL);
        if (is_begun)
            run_all(before, /* fresh */ true);
        (void)store_world_ask(&world, "CONFIG", "RESETSTAT", NULL);
        run_all(move, /* fresh */ !is_begun);
        sum += cost();
    }
    printf("%-6s %6.2f µs\n", name, sum / (double)rounds);
}

int main(int argc, char **argv) {
    size_t rounds = (argc > 1 ? strtoul(argv[1], NULL, 10) : 20000) / BATCH;
    if (!store_world_start(&world, NULL))
        return 1;
    store = store_world_open(&world);
    for (size_t i = 0; i < BATCH; i++)
        calls[i] = (struct fb_store_call){
            .kind = FB_KIND_STRING, .put = FB_STORE_PUT_VALUE, .bring = fb_bytes_of(bytes, sizeof bytes),
            .key = fb_bytes_of(names[i], (size_t)snprintf(names[i], sizeof names[i], "user:%zu", i)),
            .ttl_ms = 60000, .value = &values[i]};
    measure(rounds, "MISS", FB_STORE_GET, FB_STORE_MISS);
    measure(rounds, "FILL", FB_STORE_MISS, FB_STORE_FILL);
    measure(rounds, "BEGIN", FB_STORE_GET, FB_STORE_BEGIN);
    measure(rounds, "END", FB_STORE_BEGIN, FB_STORE_END);
    measure(rounds, "INVAL", FB_STORE_GET, FB_STORE_INVAL);
    for (size_t i = 0; i < BATCH; i++)
        fb_buf_free(&values[i]);
    fb_store_close(store);
    store_world_stop(&world);
    return 0;
}
