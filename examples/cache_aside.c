/* Cache-aside: the application asks its own database, and keeps what it found in the cache.
 *
 * By hand it is GET, on a miss SELECT and SETEX; on a change UPDATE and DEL. The flaw: a reader whose SELECT ran before
 * the UPDATE may do its SETEX after the DEL, and the old row stays until its TTL. Another: when a writer dies between
 * UPDATE and DEL, nobody removes the old row. And `if cached:` takes an empty value for a miss, for ever.
 *
 * Here a miss comes with a lease. A write that begins takes the lease away, so the late fill is refused; and the write
 * is announced before it commits, so the old value is out of sight from then on.
 *
 * Not when Forebay can do the query itself: read-through is less code, and callers share one query without effort. */
#include "example.h"

static int queries; /* the application's own */

/* SELECT name FROM users WHERE id = …; 0 when there is no such row. */
static int select_name(struct example *e, int id, fb_buf *name) {
    sqlite3_stmt *s;
    queries++;
    sqlite3_prepare_v2(e->db, "SELECT name FROM users WHERE id = ?", -1, &s, NULL);
    sqlite3_bind_int(s, 1, id);
    int found = sqlite3_step(s) == SQLITE_ROW;
    name->len = 0;
    if (found && fb_buf_append(name, sqlite3_column_text(s, 0), (size_t)sqlite3_column_bytes(s, 0)) != FB_OK)
        example_give_up("select_name", "no memory");
    sqlite3_finalize(s);
    return found;
}

/* The reading half of the pattern. */
static fb_status get_name(struct example *e, fb_cache *cache, int id, fb_buf *name) {
    char key[32];
    uint64_t token;
    fb_err err;
    snprintf(key, sizeof key, "name:%d", id);
    name->len = 0;
    fb_status s = fb_get_or_lease(cache, FB_STR(key), 0, name, &token, &err);
    if (s != FB_LEASE)
        return s;
    int found = select_name(e, id, name);
    /* Refused is no fault: the value may be used, it is only not kept. */
    (void)fb_fill(cache, FB_STR(key), token, fb_bytes_of(name->data, name->len), !found, &err);
    return found ? FB_OK : FB_NOTFOUND;
}

/* The writing half. */
static void rename_user(struct example *e, fb_cache *cache, int id, const char *name) {
    char key[32];
    sqlite3_stmt *s;
    uint64_t ticket;
    fb_err err;
    snprintf(key, sizeof key, "name:%d", id);
    if (fb_write_begin(cache, FB_STR(key), &ticket, &err) != FB_OK)
        example_give_up(key, err.text);
    sqlite3_prepare_v2(e->db, "UPDATE users SET name = ? WHERE id = ?", -1, &s, NULL);
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 2, id);
    if (sqlite3_step(s) != SQLITE_DONE)
        example_give_up("rename_user", sqlite3_errmsg(e->db));
    sqlite3_finalize(s);
    fb_write_end(cache, FB_STR(key), ticket);
}

int main(void) {
    struct example e;
    fb_source *shop;
    fb_err err;
    fb_buf name = FB_BUF_INIT, old = FB_BUF_INIT;
    uint64_t token;
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = "name:{id:int}";
    ks.table = "users";
    ks.as = "column:name";
    ks.read = FB_READ_ASIDE;

    printf("cache-aside\n");
    example_begin(&e, "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
                      "INSERT INTO users VALUES (1, 'Ada'), (2, ''), (3, 'Pia')");
    fb_cache *cache = example_open(&e, &ks, NULL, &shop);

    for (int i = 0; i < 100; i++)
        get_name(&e, cache, 1, &name);
    claim(&e, queries == 1 && is_text(&name, "Ada"), "100 reads of one user, %d query", queries);

    for (int i = 0; i < 100; i++)
        get_name(&e, cache, 2, &name);
    claim(&e, queries == 2 && name.len == 0, "an empty name is a value: 100 reads, %d query", queries - 1);

    for (int i = 0; i < 100; i++)
        get_name(&e, cache, 4, &name);
    claim(&e, queries == 3, "a user who does not exist: 100 reads, %d query", queries - 2);

    /* The race: a reader has the old row in hand when a writer comes through. */
    fb_status lease = fb_get_or_lease(cache, FB_STR("name:3"), 0, &old, &token, &err);
    select_name(&e, 3, &old);
    rename_user(&e, cache, 3, "Mina");
    fb_status fill = fb_fill(cache, FB_STR("name:3"), token, fb_bytes_of(old.data, old.len), 0, &err);
    claim(&e, lease == FB_LEASE && fill == FB_REFUSED, "the late fill with '%.*s' is refused", (int)old.len, old.data);
    get_name(&e, cache, 3, &name);
    claim(&e, is_text(&name, "Mina"), "the next reader sees '%.*s'", (int)name.len, name.data);

    /* The crash: a write that was announced and committed, but never ended. */
    uint64_t ticket;
    if (fb_write_begin(cache, FB_STR("name:1"), &ticket, &err) != FB_OK)
        example_give_up("name:1", err.text);
    example_sql(&e, "UPDATE users SET name = 'Greta' WHERE id = 1");
    get_name(&e, cache, 1, &name);
    claim(&e, is_text(&name, "Greta"), "after a write whose end never came: '%.*s', not the old name", (int)name.len,
          name.data);

    fb_close(cache);
    fb_buf_free(&name);
    fb_buf_free(&old);
    return example_end(&e);
}
