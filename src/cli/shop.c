/* The sample database of the demonstration. */
#include "cli/shop.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rng.h"

/* The file is synced once, at the end: a shop that is half made is deleted, so nothing needs a journal before. */
static const char schema[] =
    "PRAGMA journal_mode = OFF;"
    "PRAGMA synchronous = OFF;"
    "BEGIN;"
    "CREATE TABLE users("
    "  id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL DEFAULT '', city TEXT NOT NULL,"
    "  login_count INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL);"
    "CREATE TABLE products("
    "  id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, price NUMERIC(10,2) NOT NULL);"
    "CREATE TABLE inventory("
    "  product_id INTEGER PRIMARY KEY REFERENCES products(id),"
    "  quantity INTEGER NOT NULL CHECK (quantity >= 0));"
    "CREATE TABLE orders("
    "  id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id), status TEXT NOT NULL,"
    "  placed_at TEXT NOT NULL);"
    "CREATE TABLE order_lines("
    "  order_id INTEGER NOT NULL REFERENCES orders(id), product_id INTEGER NOT NULL REFERENCES products(id),"
    "  quantity INTEGER NOT NULL, price NUMERIC(10,2) NOT NULL,"
    "  PRIMARY KEY (order_id, product_id)) WITHOUT ROWID;";

static const char finish[] =
    "CREATE INDEX orders_by_user ON orders(user_id);"
    "COMMIT;"
    "PRAGMA synchronous = FULL;"
    "PRAGMA journal_mode = WAL;";

static const char *const names[] = {"Ada",  "Ben",  "Chloe", "Dario", "Emma", "Farid", "Greta", "Hugo",
                                    "Ines", "Jonas", "Kaya", "Luis",  "Mina", "Noor",  "Oskar", "Pia"};
static const char *const cities[] = {"Lisbon", "Oslo", "Turin", "Gdansk", "Lyon", "Porto", "Ghent", "Graz"};
static const char *const makes[] = {"plain", "oak", "steel", "linen", "copper", "folding", "enamel", "woven"};
static const char *const things[] = {"lamp", "kettle", "chair", "basket", "clock", "bowl", "shelf", "blanket"};
static const char *const categories[] = {"kitchen", "living", "garden", "office"};
static const char *const states[] = {"placed", "paid", "sent", "delivered"};

#define PICK(list, rng) list[fb_rng_below((rng), sizeof(list) / sizeof(list)[0])]

struct shop {
    sqlite3 *db;
    sqlite3_stmt *statement;   /* of the table being filled */
    struct fb_shop_size size;
    struct fb_rng rng;
    fb_shop_progress *progress;
    void *user;
    uint64_t rows_done, rows_step;
    fb_err *reterr;
};

static fb_status refuse(struct shop *s, const char *what) {
    return fb_fail(s->reterr, FB_SYSTEM, "%s: %s", what, sqlite3_errmsg(s->db));
}

static fb_status execute(struct shop *s, const char *sql, const char *what) {
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? FB_OK : refuse(s, what);
}

static void bind_text(struct shop *s, int at, const char *text) {
    (void)sqlite3_bind_text(s->statement, at, text, -1, SQLITE_TRANSIENT); /* a failure shows as NULL in NOT NULL */
}

static void bind_day(struct shop *s, int at) {
    char text[48];
    snprintf(text, sizeof text, "2026-%02u-%02uT%02u:%02u:00Z", (unsigned)fb_rng_below(&s->rng, 10) + 1,
             (unsigned)fb_rng_below(&s->rng, 28) + 1, (unsigned)fb_rng_below(&s->rng, 24),
             (unsigned)fb_rng_below(&s->rng, 60));
    bind_text(s, at, text);
}

static void bind_price(struct shop *s, int at, double cents) {
    (void)sqlite3_bind_double(s->statement, at, cents / 100); /* what a database without decimals makes of 12.34 */
}

static fb_status insert(struct shop *s) {
    if (sqlite3_step(s->statement) != SQLITE_DONE || sqlite3_reset(s->statement) != SQLITE_OK)
        return refuse(s, "cannot fill the shop");
    return FB_OK;
}

static fb_status fill_user(struct shop *s, unsigned id) {
    char text[64];
    const char *name = PICK(names, &s->rng);
    snprintf(text, sizeof text, "%s %u", name, id);
    sqlite3_bind_int64(s->statement, 1, id);
    bind_text(s, 2, text);
    snprintf(text, sizeof text, "user%u@example.org", id);
    bind_text(s, 3, text);
    bind_text(s, 4, PICK(cities, &s->rng));
    sqlite3_bind_int64(s->statement, 5, (sqlite3_int64)fb_rng_below(&s->rng, 500));
    bind_day(s, 6);
    return insert(s);
}

static fb_status fill_product(struct shop *s, unsigned id) {
    char text[64];
    const char *make = PICK(makes, &s->rng), *thing = PICK(things, &s->rng);
    snprintf(text, sizeof text, "%s %s no. %u", make, thing, id);
    sqlite3_bind_int64(s->statement, 1, id);
    bind_text(s, 2, text);
    bind_text(s, 3, PICK(categories, &s->rng));
    bind_price(s, 4, (double)fb_rng_below(&s->rng, 20000) + 99);
    return insert(s);
}

static fb_status fill_inventory(struct shop *s, unsigned id) {
    sqlite3_bind_int64(s->statement, 1, id);
    sqlite3_bind_int64(s->statement, 2, (sqlite3_int64)fb_rng_below(&s->rng, 200));
    return insert(s);
}

static fb_status fill_order(struct shop *s, unsigned id) {
    sqlite3_bind_int64(s->statement, 1, id);
    sqlite3_bind_int64(s->statement, 2, (sqlite3_int64)fb_rng_below(&s->rng, s->size.users) + 1);
    bind_text(s, 3, PICK(states, &s->rng));
    bind_day(s, 4);
    return insert(s);
}

/* One to five lines of neighbouring products: different ones, and still in the order of the key. */
static fb_status fill_order_lines(struct shop *s, unsigned id) {
    unsigned lines = (unsigned)fb_rng_below(&s->rng, 5) + 1;
    if (lines > s->size.products)
        lines = s->size.products;
    unsigned first = (unsigned)fb_rng_below(&s->rng, s->size.products - lines + 1) + 1;
    fb_status status = FB_OK;
    for (unsigned i = 0; i < lines && status == FB_OK; i++) {
        sqlite3_bind_int64(s->statement, 1, id);
        sqlite3_bind_int64(s->statement, 2, first + i);
        sqlite3_bind_int64(s->statement, 3, (sqlite3_int64)fb_rng_below(&s->rng, 4) + 1);
        bind_price(s, 4, (double)fb_rng_below(&s->rng, 20000) + 99);
        status = insert(s);
    }
    return status;
}

typedef fb_status fill_row(struct shop *s, unsigned id);

static fb_status fill_table(struct shop *s, const char *sql, unsigned rows, fill_row *fill) {
    if (sqlite3_prepare_v2(s->db, sql, -1, &s->statement, NULL) != SQLITE_OK)
        return refuse(s, "cannot fill the shop");
    fb_status status = FB_OK;
    uint64_t all = (uint64_t)s->rows_step * 100;
    for (unsigned id = 1; id <= rows && status == FB_OK; id++) {
        status = fill(s, id);
        if (++s->rows_done % s->rows_step == 0 && s->progress != NULL &&
            !s->progress(s->user, (unsigned)(s->rows_done * 100 / all)))
            status = fb_fail(s->reterr, FB_CLOSED, "stopped");
    }
    sqlite3_finalize(s->statement);
    s->statement = NULL;
    return status;
}

static fb_status fill_all(struct shop *s) {
    const struct {
        const char *sql;
        unsigned rows;
        fill_row *fill;
    } tables[] = {
        {"INSERT INTO users VALUES (?,?,?,?,?,?)", s->size.users, fill_user},
        {"INSERT INTO products VALUES (?,?,?,?)", s->size.products, fill_product},
        {"INSERT INTO inventory VALUES (?,?)", s->size.products, fill_inventory},
        {"INSERT INTO orders VALUES (?,?,?,?)", s->size.orders, fill_order},
        {"INSERT INTO order_lines VALUES (?,?,?,?)", s->size.orders, fill_order_lines},
    };
    enum { TABLES = sizeof tables / sizeof tables[0] };
    fb_status status = FB_OK;
    for (size_t i = 0; i < TABLES; i++)
        s->rows_step += tables[i].rows;
    s->rows_step = s->rows_step / 100 + 1;
    for (size_t i = 0; i < TABLES && status == FB_OK; i++)
        status = fill_table(s, tables[i].sql, tables[i].rows, tables[i].fill);
    return status;
}

fb_status fb_shop_create(const char *path, const struct fb_shop_size *size, uint64_t seed, fb_shop_progress *progress,
                         void *user, fb_err *reterr) {
    struct shop s = {.size = *size, .rng = {seed}, .progress = progress, .user = user, .reterr = reterr};
    if (access(path, F_OK) == 0)
        return fb_fail(reterr, FB_INVALID, "%s exists already", path);
    fb_status status = FB_OK;
    if (sqlite3_open_v2(path, &s.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        status = fb_fail(reterr, FB_SYSTEM, "%s: %s", path, s.db != NULL ? sqlite3_errmsg(s.db) : "no memory");
    if (status == FB_OK)
        status = execute(&s, schema, path);
    if (status == FB_OK)
        status = fill_all(&s);
    if (status == FB_OK)
        status = execute(&s, finish, path);
    sqlite3_close(s.db);
    if (status != FB_OK)
        (void)unlink(path);
    return status;
}

/* ---- how Forebay serves it -------------------------------------------------------------------------------------- */

/* One table, from which the cache is built and the file is written; all of it write-through. */
static const struct mapping {
    const char *pattern, *table, *as;
} mappings[] = {
    {"user:{id:int}", "users", "hash"},
    {"product:{id:int}", "products", "json"},
    {"inventory:{product_id:int}", "inventory", "json"},
    {"order:{id:int}", "orders", "json"},
    {"order_line:{order_id:int}:{product_id:int}", "order_lines", "json"},
};
enum { MAPPINGS = sizeof mappings / sizeof mappings[0] };

fb_status fb_shop_map(fb_cache *cache, fb_source *shop, fb_err *reterr) {
    for (size_t i = 0; i < MAPPINGS; i++) {
        fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
        o.pattern = mappings[i].pattern;
        o.source = shop;
        o.table = mappings[i].table;
        o.as = mappings[i].as;
        o.write = FB_WRITE_THROUGH;
        fb_status s = fb_keyspace_add(cache, &o, reterr);
        if (s != FB_OK)
            return s;
    }
    return FB_OK;
}

fb_status fb_shop_config(const char *config_path, const char *database_path, fb_err *reterr) {
    FILE *f = fopen(config_path, "wxe");
    if (f == NULL)
        return fb_fail(reterr, FB_SYSTEM, "%s: %s", config_path, strerror(errno));
    fprintf(f, "# forebay serve -c %s\nsources:\n  shop:\n    url: 'sqlite:", config_path);
    for (const char *p = database_path; *p != '\0'; p++) {
        if (*p == '\'') /* YAML doubles a quote inside of quotes */
            fputc('\'', f);
        fputc(*p, f);
    }
    fputs("'\n\nkeyspaces:\n", f);
    for (size_t i = 0; i < MAPPINGS; i++)
        fprintf(f, "  %s:\n    source: shop\n    table: %s\n    as: %s\n    write: write-through\n",
                mappings[i].pattern, mappings[i].table, mappings[i].as);
    bool is_bad = ferror(f) != 0;
    return fclose(f) != 0 || is_bad ? fb_fail(reterr, FB_SYSTEM, "%s: cannot be written", config_path) : FB_OK;
}
