/* Clients of several Forebays over one Redis and one database, each a process: is a read ever older than it may be?
 *
 *     fleet SECONDS REDIS-PORT DATABASE PORT…      DATABASE: how libpq finds it; prints figures, name=number, one a line
 *                                                  REDIS-PORT 0: without the control
 *
 * Sixteen processes read and write rows whose column n only counts up: a write adds one, in the database, and is
 * answered with what it made, so every answer names a version. The keys are s:0 … (one column, INCR) and h:0 … (hashes,
 * HINCRBY). All of them share one memory with what was acknowledged when, by the monotonic clock of this machine. A
 * client is killed now and then, in the middle of whatever it does, and another takes its place. Four more processes
 * do plain cache-aside with the same Redis and database (fleet_plain.c): they must be seen to fail.
 *
 * Who kills Forebays, or Redis, says so on standard input: "down 2" before the second port's Forebay dies. */
#include "fleet.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    WORKERS = 16, PLAIN_WORKERS = 4,
    WRITES_PERCENT = 12, INVALIDATES_PERCENT = 2, ABANDONS_PERMILLE = 5, QUIET_ONE_IN = 50, MOVES_PERMILLE = 5,
    ANSWER_MS = 20000,        /* longer than any wait that Forebay promises an end of */
    RETRY_MS = 10,
    KILL_EVERY_MS = 250,
    L1_MS = 1000,             /* how old a first level's answer may be */
    CLOCK_MS = 20,            /* between an answer and its note here a process may be kept waiting for its turn */
    END_MS = 25000,
    SHOWN_MAX = 10,
};

struct fleet *fleet;

/* ---- judging ----------------------------------------------------------------------------------------------------
 * */

void fleet_raise(_Atomic uint64_t *at, uint64_t to) {
    uint64_t old = *at;
    while (old < to && !atomic_compare_exchange_weak(at, &old, to)) {
    }
}

void fleet_longest(_Atomic uint64_t *longest, fb_instant since) {
    fleet_raise(longest, (uint64_t)(fb_clock_now().ns - since.ns) / 1000);
}

struct floors fleet_floors(struct row *row, int port) {
    struct floors f = {.acked = row->acked, .seen = row->seen};
    if (port >= 0) {
        f.life = fleet->lives[port];
        f.own = row->by[port][f.life % LIVES].acked;
        f.own_seen = row->by[port][f.life % LIVES].seen;
    }
    f.began = fb_clock_now();
    return f;
}

/* The moment from which on this version was old for certain: the first acknowledgement of a newer one. */
static int64_t ended(const struct row *row, uint64_t version, uint64_t acked) {
    int64_t first = INT64_MAX;
    for (uint64_t v = version + 1; v <= acked && v < VERSIONS_MAX; v++) {
        int64_t when = row->when[v];
        first = when != 0 && when < first ? when : first;
    }
    return first;
}

void fleet_judge(struct figures *figures, struct row *row, int port, const struct floors *floors, uint64_t version) {
    figures->reads++;
    if (version < floors->acked) {
        int64_t end_ns = ended(row, version, floors->acked), stale_ns = floors->began.ns - end_ns;
        figures->older++;
        if (end_ns != INT64_MAX && stale_ns > 0) {
            fleet_raise(&figures->longest_stale_us, (uint64_t)stale_ns / 1000);
            if (stale_ns > fb_ms(L1_MS + CLOCK_MS).ns && figures->older_than_1s++ < SHOWN_MAX)
                fprintf(stderr, "at %.3f s: row %d read by way of %d was %" PRIu64 ", and %" PRIu64
                        " was acknowledged by then; it ended %.1f ms before\n",
                        (double)(fb_clock_now().ns - fleet->begun.ns) / 1e9, (int)(row - fleet->rows), port, version,
                        floors->acked, (double)stale_ns / FB_NS_PER_MS);
        }
    }
    figures->new_then_old += version < floors->seen;
    fleet_raise(&row->seen, version);
    if (port < 0 || floors->life != fleet->lives[port])
        return;
    figures->not_own += version < floors->own;
    figures->backwards += version < floors->own_seen;
    fleet_raise(&row->by[port][floors->life % LIVES].seen, version);
}

void fleet_acknowledged(struct row *row, int port, unsigned life, uint64_t version) {
    if (version < VERSIONS_MAX)
        row->when[version] = fb_clock_now().ns;
    fleet_raise(&row->acked, version);
    fleet_raise(&row->seen, version);
    if (port >= 0 && life == fleet->lives[port]) {
        fleet_raise(&row->by[port][life % LIVES].acked, version);
        fleet_raise(&row->by[port][life % LIVES].seen, version);
    }
}

/* ---- a worker ---------------------------------------------------------------------------------------------------
 * */

struct worker { struct client client; struct fb_rng rng; unsigned port; };

static fb_instant soon(void) { return fb_after(fb_clock_now(), fb_ms(ANSWER_MS)); }

static void note_error(const struct client *c, const char *what) {
    char word[ERROR_LEN];
    int word_len = c->kind == CLIENT_ERROR ? (int)strcspn(c->text, " ") : 0;
    (void)snprintf(word, sizeof word, "%s.%.*s", what, c->kind == CLIENT_ERROR ? word_len : 4,
                   c->kind == CLIENT_ERROR ? c->text : c->kind == CLIENT_LOST ? "lost" : "nil ");
    for (int i = 0; i < ERROR_KINDS; i++) {
        unsigned char was = 0;
        if (atomic_compare_exchange_strong(&fleet->errors[i].is_taken, &was, 1))
            (void)snprintf(fleet->errors[i].word, ERROR_LEN, "%s", word);
        if (strncmp(fleet->errors[i].word, word, ERROR_LEN) == 0) {
            fleet->errors[i].count++;
            return;
        }
    }
}

static const char *name_of(char name[32], unsigned key) {
    (void)snprintf(name, 32, "%c:%u", key % 2 == 0 ? 's' : 'h', key);
    return name;
}

static void read_one(struct worker *w, unsigned key) {
    char name[32];
    struct row *row = &fleet->rows[key];
    struct floors floors = fleet_floors(row, (int)w->port);
    (void)name_of(name, key);
    enum client_kind kind = key % 2 == 0 ? client_ask(&w->client, soon(), "GET", name, NULL)
                                         : client_ask(&w->client, soon(), "HGET", name, "n", NULL);
    if (kind != CLIENT_TEXT) {
        fleet->shared.read_errors++;
        note_error(&w->client, "read");
        return;
    }
    fleet_longest(&fleet->shared.longest_read_us, floors.began);
    int64_t second = (fb_clock_now().ns - fleet->begun.ns) / fb_ms(1000).ns;
    if (second < SECONDS_MAX)
        fleet->reads_in[second]++;
    fleet_judge(&fleet->shared, row, (int)w->port, &floors, (uint64_t)w->client.number);
}

/* Half of the rows are changed by way of one Forebay only, and seldom: what the others keep of them stays until they are
 * told. */
static bool may_change(struct worker *w, unsigned key) {
    return key % 4 < 2 || (w->port == key / 4 % fleet->nports && fb_rng_below(&w->rng, QUIET_ONE_IN) == 0);
}

static void write_one(struct worker *w, unsigned key) {
    char name[32];
    unsigned life = fleet->lives[w->port];
    fb_instant began = fb_clock_now();
    (void)name_of(name, key);
    enum client_kind kind = key % 2 == 0 ? client_ask(&w->client, soon(), "INCR", name, NULL)
                                         : client_ask(&w->client, soon(), "HINCRBY", name, "n", "1", NULL);
    if (kind != CLIENT_NUMBER) {
        fleet->shared.write_errors++;
        note_error(&w->client, "write");
        return;
    }
    fleet_longest(&fleet->shared.longest_write_us, began);
    fleet_acknowledged(&fleet->rows[key], (int)w->port, life, (uint64_t)w->client.number);
    fleet->shared.writes++;
}

static void invalidate_one(struct worker *w, unsigned key) {
    char name[32];
    if (client_ask(&w->client, soon(), "DEL", name_of(name, key), NULL) == CLIENT_NUMBER)
        fleet->shared.invalidations++;
    else
        note_error(&w->client, "del");
}

/* Ask, and go away before the answer. */
static void abandon_one(struct worker *w, unsigned key) {
    char name[32];
    const char *write[] = {"INCR", name_of(name, key - key % 4), NULL}, *read[] = {"GET", name, NULL};
    (void)client_send(&w->client, fb_rng_below(&w->rng, 2) == 0 ? write : read);
    client_close(&w->client);
    fleet->shared.abandoned++;
}

static void work(uint64_t seed) {
    struct worker w = {.client.fd = -1, .rng = {seed}};
    while (!fleet->is_over) {
        if (w.client.fd >= 0 && fb_rng_below(&w.rng, 1000) < MOVES_PERMILLE)
            client_close(&w.client);
        if (w.client.fd < 0) {
            w.port = (unsigned)fb_rng_below(&w.rng, fleet->nports);
            if (!client_open(&w.client, fleet->ports[w.port])) {
                (void)poll(NULL, 0, RETRY_MS);
                continue;
            }
        }
        unsigned key = (unsigned)fb_rng_below(&w.rng, KEYS), what = (unsigned)fb_rng_below(&w.rng, 1000);
        if (what < ABANDONS_PERMILLE)
            abandon_one(&w, key);
        else if (what < INVALIDATES_PERCENT * 10 && may_change(&w, key))
            invalidate_one(&w, key);
        else if (what < (INVALIDATES_PERCENT + WRITES_PERCENT) * 10 && may_change(&w, key))
            write_one(&w, key);
        else
            read_one(&w, key);
        if (w.client.kind == CLIENT_ERROR)
            (void)poll(NULL, 0, RETRY_MS);
    }
    client_close(&w.client);
}

/* ---- the parent -------------------------------------------------------------------------------------------------
 * */

static pid_t workers[WORKERS + PLAIN_WORKERS];

static void start(unsigned index, uint64_t seed) {
    pid_t parent = getpid();
    workers[index] = fork();
    if (workers[index] != 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        (index < WORKERS ? work : fleet_plain)(seed);
    _exit(0);
}

static void wait_for(unsigned index) {
    while (waitpid(workers[index], NULL, 0) < 0 && errno == EINTR) {
    }
}

/* "down N": what the Nth Forebay has answered so far says nothing of the next one at that port. */
static void listen_to_driver(void) {
    char line[64];
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(&in, 1, 0) <= 0 || fgets(line, sizeof line, stdin) == NULL)
        return;
    unsigned port = strncmp(line, "down ", 5) == 0 ? (unsigned)strtoul(line + 5, NULL, 10) : PORTS_MAX;
    if (port >= fleet->nports)
        return;
    unsigned next = (fleet->lives[port] + 1) % LIVES;
    for (unsigned key = 0; key < KEYS; key++)
        fleet->rows[key].by[port][next].acked = fleet->rows[key].by[port][next].seen = 0;
    fleet->lives[port]++;
    printf("noted\n");
    (void)fflush(stdout);
}

static void show(const char *prefix, const struct figures *f) {
#define SHOW_(name, words) printf("%s" #name "=%" PRIu64 "\n", prefix, f->name);
    FLEET_FIGURES(SHOW_)
#undef SHOW_
}

int main(int argc, char **argv) {
    if (argc < 5 || argc - 4 > PORTS_MAX) {
        fprintf(stderr, "usage: fleet SECONDS REDIS-PORT DATABASE PORT...\n");
        return 2;
    }
    fleet = mmap(NULL, sizeof *fleet, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fleet == MAP_FAILED)
        return 1;
    (void)signal(SIGPIPE, SIG_IGN);
    fleet->redis_port = (unsigned)strtoul(argv[2], NULL, 10);
    (void)snprintf(fleet->database, sizeof fleet->database, "%s", argv[3]);
    for (int i = 4; i < argc; i++)
        fleet->ports[fleet->nports++] = (unsigned)strtoul(argv[i], NULL, 10);
    fleet->begun = fb_clock_now();
    uint64_t seed = 1;
    unsigned processes = fleet->redis_port != 0 ? WORKERS + PLAIN_WORKERS : WORKERS;
    for (unsigned i = 0; i < processes; i++)
        start(i, seed++);
    fb_instant end = fb_after(fleet->begun, fb_ms(strtol(argv[1], NULL, 10) * 1000)), kill_at = fleet->begun;
    struct fb_rng rng = {1};
    while (fb_before(fb_clock_now(), end)) {
        (void)poll(NULL, 0, 5);
        listen_to_driver();
        if (fb_before(fb_clock_now(), kill_at))
            continue;
        kill_at = fb_after(kill_at, fb_ms(KILL_EVERY_MS));
        unsigned victim = (unsigned)fb_rng_below(&rng, WORKERS);
        (void)kill(workers[victim], SIGKILL);
        wait_for(victim);
        fleet->shared.killed++;
        start(victim, seed++);
    }
    fleet->is_over = true;
    (void)alarm(END_MS / 1000);
    for (unsigned i = 0; i < processes; i++)
        wait_for(i);
    show("", &fleet->shared);
    show("plain_", &fleet->plain);
    for (int i = 0; i < ERROR_KINDS && fleet->errors[i].is_taken; i++)
        printf("error.%s=%" PRIu64 "\n", fleet->errors[i].word, fleet->errors[i].count);
    printf("each_second=");
    for (int64_t s = 0; s < (fb_clock_now().ns - fleet->begun.ns) / fb_ms(1000).ns && s < SECONDS_MAX; s++)
        printf("%s%" PRIu64, s > 0 ? "," : "", fleet->reads_in[s]);
    printf("\n");
    return 0;
}
