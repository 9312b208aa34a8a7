/* Shows with real data that what a row shows is accepted again: rows of every table of the Chinook database are read as
 * JSON and as a hash and written back as they are; afterwards no table differs from the original. Skipped, and said so,
 * where the database is not there. */
#include "sqlite_world.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

/* A copy of Chinook in the world's place; false when the data is not there. */
static bool copy_chinook(struct world *w) {
    const char *const dirs[] = {getenv("FOREBAY_TEST_DATA"), "../shared/data"};
    char path[512], command[1400];
    for (size_t i = 0; i < COUNT(dirs); i++) {
        snprintf(path, sizeof path, "%s/chinook/Chinook_Sqlite.sqlite", dirs[i] != NULL ? dirs[i] : "");
        if (dirs[i] == NULL || access(path, R_OK) != 0)
            continue;
        snprintf(command, sizeof command, "cp '%s' '%s/orig.db' && cp '%s' '%s/chinook.db' && chmod u+w '%s'/*.db",
                 path, w->dir, path, w->dir, w->dir);
        return system(command) == 0;
    }
    print_message("# SKIPPED: no Chinook database (set FOREBAY_TEST_DATA)\n");
    return false;
}

/* Every ninth row (the smaller tables have few): read it as JSON and as a hash, write both back as they are. */
static void write_back(struct world *w, struct fb_binding *json, struct fb_binding *hash, const char *keys,
                       unsigned *rows) {
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(w->db, keys, -1, &stmt, NULL), SQLITE_OK);
    for (unsigned n = 0; sqlite3_step(stmt) == SQLITE_ROW; n++) {
        if (n % 9 != 0)
            continue;
        char key[100];
        snprintf(key, sizeof key, "j:%s", sqlite3_column_text(stmt, 0));
        struct fb_load_item items[2] = {{.binding = json, .key = FB_STR(key)}, {.binding = hash}};
        char hash_key[100];
        snprintf(hash_key, sizeof hash_key, "h:%s", sqlite3_column_text(stmt, 0));
        items[1].key = FB_STR(hash_key);
        ops->load(w->reader, items, 2);
        assert_int_equal(items[0].status, FB_OK);
        assert_int_equal(items[1].status, FB_OK);
        struct answer a = world_store(
            w, json, (fb_op){.kind = FB_OP_SET, .key = items[0].key, .value = fb_value_bytes(items[0].value)});
        expect_answer(&a, FB_OK, world_shown(items[0].value));
        fb_field fields[32];
        size_t nfields = 0;
        for (size_t cursor = 0; fb_hash_next(fb_value_bytes(items[1].value), &cursor, &fields[nfields]);)
            nfields++;
        a = world_store(w, hash,
                        (fb_op){.kind = FB_OP_HSET, .key = items[1].key, .fields = fields, .nfields = nfields});
        expect_answer(&a, FB_OK, world_shown(items[1].value));
        assert_int_equal(a.count, 0);
        fb_value_unref(items[0].value);
        fb_value_unref(items[1].value);
        ++*rows;
    }
    sqlite3_finalize(stmt);
}

static void real_rows_written_back_as_they_were_read_change_nothing(void **state) {
    (void)state;
    static const struct { const char *table, *key, *keys;
    } tables[] = {
        {"Album", "{AlbumId}", "SELECT AlbumId FROM Album"},
        {"Artist", "{id}", "SELECT ArtistId FROM Artist"},
        {"Customer", "{CustomerId}", "SELECT CustomerId FROM Customer"},
        {"Employee", "{EmployeeId}", "SELECT EmployeeId FROM Employee"},
        {"Genre", "{GenreId}", "SELECT GenreId FROM Genre"},
        {"Invoice", "{InvoiceId}", "SELECT InvoiceId FROM Invoice"},
        {"InvoiceLine", "{InvoiceLineId}", "SELECT InvoiceLineId FROM InvoiceLine"},
        {"MediaType", "{MediaTypeId}", "SELECT MediaTypeId FROM MediaType"},
        {"Playlist", "{PlaylistId}", "SELECT PlaylistId FROM Playlist"},
        {"PlaylistTrack", "{PlaylistId}:{TrackId}", "SELECT PlaylistId || ':' || TrackId FROM PlaylistTrack"},
        {"Track", "{TrackId}", "SELECT TrackId FROM Track"},
    };
    struct world w;
    unsigned rows = 0;
    world_open(&w);
    if (!copy_chinook(&w)) {
        world_close(&w);
        skip();
    }
    char url[200], text[400];
    struct fb_driver *own = w.driver;
    struct fb_session *own_writer = w.writer, *own_reader = w.reader;
    snprintf(url, sizeof url, "sqlite:%s/chinook.db", w.dir);
    assert_int_equal(ops->open(url, NULL, &w.driver, &w.err), FB_OK);
    assert_int_equal(ops->session_open(w.driver, true, &w.writer, &w.err), FB_OK);
    assert_int_equal(ops->session_open(w.driver, false, &w.reader, &w.err), FB_OK);
    snprintf(text, sizeof text, "ATTACH '%s/chinook.db' AS now; ATTACH '%s/orig.db' AS orig", w.dir, w.dir);
    world_sql(&w, text);
    for (size_t i = 0; i < COUNT(tables); i++) {
        struct fb_binding *b[2];
        for (int k = 0; k < 2; k++) {
            fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
            char *pattern;
            snprintf(text, sizeof text, "%c:%s", k == 0 ? 'j' : 'h', tables[i].key);
            o.pattern = text;
            o.table = tables[i].table;
            o.as = k == 0 ? "json" : "hash";
            if (ops->bind(w.driver, &o, &b[k], &pattern, &w.err) != FB_OK)
                fail_msg("%s", w.err.text);
            fb_mem_free(pattern);
        }
        write_back(&w, b[0], b[1], tables[i].keys, &rows);
        snprintf(text, sizeof text,
                 "SELECT (SELECT count(*) FROM (SELECT * FROM now.%s EXCEPT SELECT * FROM orig.%s)) + abs("
                 "(SELECT count(*) FROM now.%s) - (SELECT count(*) FROM orig.%s))",
                 tables[i].table, tables[i].table, tables[i].table, tables[i].table);
        assert_string_equal(world_ask(&w, text), "0");
        ops->unbind(b[0]);
        ops->unbind(b[1]);
    }
    assert_true(rows > 1500);
    ops->session_close(w.writer);
    ops->session_close(w.reader);
    ops->close(w.driver);
    w.driver = own;
    w.writer = own_writer;
    w.reader = own_reader;
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_rows_written_back_as_they_were_read_change_nothing),
    };
    return cmocka_run_group_tests_name("sqlite_chinook", tests, NULL, NULL);
}
