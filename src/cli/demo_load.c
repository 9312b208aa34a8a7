/* The load of the demonstration: what is asked, and the two ways to ask it. */
#include "cli/demo_load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/bench_draw.h"
#include "proto/resp.h"

enum {
    DATABASE_BUSY_MS = 60000, /* a straight writer waits for SQLite's one write lock, which is not fair: some wait long */
    REPLY_WAIT_S = 60,
    REPLY_MAX = 4096,
};

/* What a request is about: how it is asked for as SQL and as a key. */
enum kind { READ_PRODUCT, READ_USER, READ_INVENTORY, WRITE_INVENTORY, KINDS };

static const struct kind_row {
    const char *sql, *command, *key, *value;
} kinds[KINDS] = {
    [READ_PRODUCT] = {"SELECT * FROM products WHERE id = ?1", "GET", "product:%u", NULL},
    [READ_USER] = {"SELECT * FROM users WHERE id = ?1", "HGETALL", "user:%u", NULL},
    [READ_INVENTORY] = {"SELECT * FROM inventory WHERE product_id = ?1", "GET", "inventory:%u", NULL},
    [WRITE_INVENTORY] = {"UPDATE inventory SET quantity = ?2 WHERE product_id = ?1", "SET", "inventory:%u",
                         "{\"quantity\":%u}"},
};

struct request { enum kind kind; unsigned id, quantity; };

struct client {
    struct fb_demo_clients *all;
    pthread_t thread;
    struct fb_rng rng;
    /* straight */
    sqlite3 *db;
    sqlite3_stmt *statements[KINDS];
    /* through the server */
    int fd;
    struct fb_resp_out out;
    struct fb_resp_reply reply;
    struct fb_demo_result result;
    fb_err err;
};

struct fb_demo_clients {
    struct fb_demo_load load;
    struct fb_draw products, users;
    struct client clients[FB_DEMO_CLIENTS];
    unsigned started;
};

static struct request draw(const struct fb_demo_clients *all, struct fb_rng *rng) {
    struct request r = {.quantity = (unsigned)fb_rng_below(rng, 200)};
    uint64_t share = fb_rng_below(rng, 100 * FB_DEMO_WRITES_IN);
    unsigned tenth = (unsigned)(share % 10);
    r.kind = share < 100 ? WRITE_INVENTORY : tenth < 6 ? READ_PRODUCT : tenth < 9 ? READ_USER : READ_INVENTORY;
    r.id = (unsigned)fb_draw_next(r.kind == READ_USER ? &all->users : &all->products, rng) + 1;
    return r;
}

/* ---- straight --------------------------------------------------------------------------------------------------- */

static fb_status straight_open(struct client *c) {
    if (sqlite3_open_v2(c->all->load.database, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return fb_fail(&c->err, FB_DOWN, "%s", c->db != NULL ? sqlite3_errmsg(c->db) : "no memory");
    sqlite3_busy_timeout(c->db, DATABASE_BUSY_MS);
    for (int k = 0; k < KINDS; k++)
        if (sqlite3_prepare_v2(c->db, kinds[k].sql, -1, &c->statements[k], NULL) != SQLITE_OK)
            return fb_fail(&c->err, FB_DOWN, "%s", sqlite3_errmsg(c->db));
    return FB_OK;
}

static fb_status straight_do(struct client *c, const struct request *r) {
    sqlite3_stmt *s = c->statements[r->kind];
    int rc, bytes = 0;
    fb_clock_sleep(c->all->load.added);
    c->result.queries++;
    sqlite3_bind_int64(s, 1, r->id);
    if (r->kind == WRITE_INVENTORY)
        sqlite3_bind_int64(s, 2, r->quantity);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(s); i++) /* an application looks at what it asked for */
            bytes += sqlite3_column_text(s, i) != NULL ? sqlite3_column_bytes(s, i) : 0;
    sqlite3_reset(s);
    if (rc != SQLITE_DONE)
        return fb_fail(&c->err, FB_SOURCE, "%s", sqlite3_errmsg(c->db));
    return bytes > 0 || r->kind == WRITE_INVENTORY ? FB_OK : fb_fail(&c->err, FB_NOTFOUND, "a row is missing");
}

static void straight_close(struct client *c) {
    for (int k = 0; k < KINDS; k++)
        sqlite3_finalize(c->statements[k]);
    sqlite3_close(c->db);
}

/* ---- through the server ----------------------------------------------------------------------------------------- */

static fb_status served_open(struct client *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->all->load.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_sec = REPLY_WAIT_S};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        return fb_fail(&c->err, FB_DOWN, "cannot connect: %s", strerror(errno));
    return FB_OK;
}

static fb_status send_request(struct client *c, const struct request *r) {
    const struct kind_row *k = &kinds[r->kind];
    char key[64], value[64] = "";
    snprintf(key, sizeof key, k->key, r->id);
    if (k->value != NULL)
        snprintf(value, sizeof value, k->value, r->quantity);
    const fb_bytes words[] = {FB_STR(k->command), FB_STR(key), FB_STR(value)};
    c->out.buf.len = 0;
    fb_resp_write_command(&c->out, words, k->value != NULL ? 3 : 2);
    if (c->out.failed)
        return fb_fail(&c->err, FB_NOMEM, "no memory for a request");
    if (send(c->fd, c->out.buf.data, c->out.buf.len, MSG_NOSIGNAL) != (ssize_t)c->out.buf.len)
        return fb_fail(&c->err, FB_DOWN, "connection lost");
    return FB_OK;
}

/* One command, one reply. The replies here are short: all of one fits. */
static fb_status served_do(struct client *c, const struct request *r) {
    static const struct fb_resp_reply_limits limits = {.nodes_max = 64, .bulk_max = REPLY_MAX};
    char buffer[REPLY_MAX];
    size_t have = 0, size;
    enum fb_resp_verdict verdict = FB_RESP_MORE;
    fb_status s = send_request(c, r);
    while (s == FB_OK && verdict == FB_RESP_MORE) {
        ssize_t n = recv(c->fd, buffer + have, sizeof buffer - have, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fb_fail(&c->err, FB_DOWN, "no reply");
        have += (size_t)n;
        verdict = fb_resp_reply(buffer, buffer + have, &limits, &c->reply, &size, &c->err);
    }
    if (s != FB_OK)
        return s;
    if (verdict != FB_RESP_DONE)
        return FB_DOWN;
    const struct fb_resp_node *top = &c->reply.items[0];
    if (top->type == FB_RESP_ERROR)
        return fb_fail(&c->err, FB_SOURCE, "%.*s", (int)top->text.len, top->text.data);
    bool is_missing = top->type == FB_RESP_NULL || (top->type == FB_RESP_ARRAY && top->children == 0);
    return is_missing ? fb_fail(&c->err, FB_NOTFOUND, "a row is missing") : FB_OK;
}

static void served_close(struct client *c) {
    if (c->fd >= 0)
        close(c->fd);
    fb_buf_free(&c->out.buf);
    fb_resp_reply_finish(&c->reply);
}

static const struct way {
    fb_status (*open)(struct client *c);
    fb_status (*request)(struct client *c, const struct request *r);
    void (*close)(struct client *c);
} straight = {straight_open, straight_do, straight_close}, served = {served_open, served_do, served_close};

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static void note_error(struct client *c) {
    if (c->result.errors++ == 0)
        memcpy(c->result.first_error, c->err.text, sizeof c->result.first_error);
}

static void *client_main(void *user) {
    struct client *c = user;
    const struct way *way = c->all->load.port != 0 ? &served : &straight;
    fb_status s = way->open(c);
    if (s != FB_OK)
        note_error(c);
    while (s == FB_OK && !atomic_load_explicit(c->all->load.stop, memory_order_relaxed)) {
        struct request r = draw(c->all, &c->rng);
        fb_instant begin = fb_clock_now();
        fb_status done = way->request(c, &r);
        fb_span took = fb_since(fb_clock_now(), begin);
        bool is_write = r.kind == WRITE_INVENTORY;
        fb_hist_add(is_write ? &c->result.writes_latency : &c->result.reads_latency, took, 1);
        c->result.requests++;
        c->result.writes += is_write;
        if (done != FB_OK)
            note_error(c);
        if (done == FB_DOWN)
            s = done;
    }
    way->close(c);
    return NULL;
}

fb_status fb_demo_load_begin(const struct fb_demo_load *load, struct fb_demo_clients **ret_clients, fb_err *reterr) {
    struct fb_demo_clients *all = fb_mem_calloc(1, sizeof *all);
    struct fb_rng seeds = {load->seed};
    if (all == NULL)
        return fb_fail(reterr, FB_NOMEM, "no memory for the clients");
    all->load = *load;
    fb_draw_init(&all->products, load->size.products, FB_DEMO_ZIPF);
    fb_draw_init(&all->users, load->size.users, FB_DEMO_ZIPF);
    for (; all->started < FB_DEMO_CLIENTS; all->started++) {
        struct client *c = &all->clients[all->started];
        c->all = all;
        c->fd = -1;
        c->out = (struct fb_resp_out)FB_RESP_OUT_INIT;
        c->rng.state = fb_rng_next(&seeds);
        int rc = pthread_create(&c->thread, NULL, client_main, c);
        if (rc != 0) {
            struct fb_demo_result unused;
            atomic_store(load->stop, true);
            fb_demo_load_end(all, &unused);
            return fb_fail(reterr, FB_SYSTEM, "cannot start a client: %s", strerror(rc));
        }
    }
    *ret_clients = all;
    return FB_OK;
}

void fb_demo_load_end(struct fb_demo_clients *all, struct fb_demo_result *ret_result) {
    *ret_result = (struct fb_demo_result){0};
    for (unsigned i = 0; i < all->started; i++) {
        pthread_join(all->clients[i].thread, NULL);
        const struct fb_demo_result *r = &all->clients[i].result;
        ret_result->requests += r->requests;
        ret_result->writes += r->writes;
        ret_result->queries += r->queries;
        if (ret_result->errors == 0 && r->errors > 0)
            memcpy(ret_result->first_error, r->first_error, sizeof ret_result->first_error);
        ret_result->errors += r->errors;
        fb_hist_merge(&ret_result->reads_latency, &r->reads_latency);
        fb_hist_merge(&ret_result->writes_latency, &r->writes_latency);
    }
    fb_mem_free(all);
}
