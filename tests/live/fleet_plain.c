/* The control: what applications do without Forebay. */
#include "fleet.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#ifdef FLEET_HAS_POSTGRESQL
#include <libpq-fe.h>

enum { WRITES_PERCENT = 20, ANSWER_MS = 30000, PLAIN_KEYS = 6 };

static uint64_t query(PGconn *db, const char *format, unsigned key) {
    char sql[128];
    (void)snprintf(sql, sizeof sql, format, key);
    PGresult *result = PQexec(db, sql);
    uint64_t version = PQntuples(result) == 1 ? strtoull(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    return version;
}

static fb_instant soon(void) { return fb_after(fb_clock_now(), fb_ms(ANSWER_MS)); }

/* Its scheduler, its garbage collector, its network. */
static void pause_somewhere(struct fb_rng *rng) {
    if (fb_rng_below(rng, 10) < 3)
        (void)poll(NULL, 0, (int)fb_rng_below(rng, 4));
}

static void read_one(PGconn *db, struct client *c, struct fb_rng *rng, unsigned key) {
    char name[32], text[32];
    struct floors floors = fleet_floors(&fleet->plain_rows[key], -1);
    (void)snprintf(name, sizeof name, "plain:%u", key);
    if (client_ask(c, soon(), "GET", name, NULL) == CLIENT_TEXT) {
        fleet_judge(&fleet->plain, &fleet->plain_rows[key], -1, &floors, (uint64_t)c->number);
        return;
    }
    uint64_t version = query(db, "SELECT n FROM plain WHERE id = %u", key);
    if (version == 0)
        return;
    pause_somewhere(rng);
    (void)snprintf(text, sizeof text, "%" PRIu64, version);
    (void)client_ask(c, soon(), "SET", name, text, "PX", "2000", NULL);
    fleet_judge(&fleet->plain, &fleet->plain_rows[key], -1, &floors, version);
}

static void write_one(PGconn *db, struct client *c, struct fb_rng *rng, unsigned key) {
    char name[32];
    (void)snprintf(name, sizeof name, "plain:%u", key);
    uint64_t version = query(db, "UPDATE plain SET n = n + 1 WHERE id = %u RETURNING n", key);
    pause_somewhere(rng);
    if (version > 0 && client_ask(c, soon(), "DEL", name, NULL) == CLIENT_NUMBER) {
        fleet_acknowledged(&fleet->plain_rows[key], -1, 0, version);
        fleet->plain.writes++;
    }
}

void fleet_plain(uint64_t seed) {
    struct fb_rng rng = {seed};
    struct client c = {.fd = -1};
    PGconn *db = PQconnectdb(fleet->database);
    while (!fleet->is_over) {
        unsigned key = (unsigned)fb_rng_below(&rng, PLAIN_KEYS);
        if (PQstatus(db) != CONNECTION_OK) {
            (void)poll(NULL, 0, 100);
            PQreset(db);
        } else if (c.fd < 0 && !client_open(&c, fleet->redis_port)) {
            (void)poll(NULL, 0, 20);
        } else if (fb_rng_below(&rng, 100) < WRITES_PERCENT) {
            write_one(db, &c, &rng, key);
        } else {
            read_one(db, &c, &rng, key);
        }
        (void)poll(NULL, 0, 1);
    }
    client_close(&c);
    PQfinish(db);
}
#else
void fleet_plain(uint64_t seed) { (void)seed; }
#endif
