/* Write-behind: a write is answered when it is safe on this machine's disk, and reaches the database later, with others.
 *
 * By hand it is SET and SADD dirty KEY, and a job that takes SMEMBERS, writes the rows and calls SREM. The flaws: what is
 * written between its SMEMBERS and its SREM is forgotten; a value that waits has a TTL, and expires; and all of it is in
 * memory, so that a crash loses what customers were told is done.
 *
 * Here a journal is synced before the answer, what waits neither expires nor is evicted, and the database notes in the
 * same transaction how far it has come: after a crash nothing is missing and nothing comes twice. This program kills a
 * process in the middle of its writing to show it.
 *
 * Not for writes that others must see in the database at once, or whose refusal by a constraint somebody must hear: a
 * refused row becomes a dead letter. Until the flush the data is on one disk. */
#include <signal.h>
#include <sys/wait.h>

#include "example.h"

enum { PAGES = 5, TOLD_BEFORE_THE_KILL = 300 };

static fb_cache *open_cache(struct example *e, const char *journal_dir, fb_source **ret_shop) {
    fb_cache *cache;
    fb_err err = {FB_OK, ""};
    fb_behind_options behind = {.journal_dir = journal_dir};
    fb_options options = {.behind = &behind};
    fb_keyspace_options ks = FB_KEYSPACE_OPTIONS_INIT;
    ks.pattern = "views:{page:int}";
    ks.table = "views";
    ks.write = FB_WRITE_BEHIND;
    ks.flush_interval_ms = 100;
    if (fb_open(&options, &cache, &err) != FB_OK || fb_source_open(cache, "shop", e->url, NULL, ret_shop, &err) != FB_OK)
        example_give_up("cannot open", err.text);
    ks.source = *ret_shop;
    if (fb_keyspace_add(cache, &ks, &err) != FB_OK || fb_start(cache, &err) != FB_OK) /* recovers what a crash has left */
        example_give_up(ks.pattern, err.text);
    return cache;
}

/* Until it is killed: write, and say what was answered. */
static void write_for_ever(struct example *e, const char *journal_dir, int out) {
    fb_source *shop;
    fb_cache *cache = open_cache(e, journal_dir, &shop);
    for (int n = 1;; n++) {
        char key[32], value[32];
        snprintf(key, sizeof key, "views:%d", n % PAGES);
        snprintf(value, sizeof value, "{\"n\":%d}", n);
        if (fb_set(cache, FB_STR(key), FB_STR(value), NULL) != FB_OK || write(out, &n, sizeof n) != sizeof n)
            _exit(1);
    }
}

int main(void) {
    struct example e;
    fb_source *shop;
    char journal_dir[96], remove[128];
    int told[2], n, last[PAGES] = {0}, count = 0, shown = 0, stored = 0;
    uint64_t left = 1;
    fb_buf row = FB_BUF_INIT;

    printf("write-behind\n");
    example_begin(&e, "CREATE TABLE views(page INTEGER PRIMARY KEY, n INTEGER, flushed INTEGER DEFAULT 1);"
                      "CREATE TRIGGER counted AFTER UPDATE OF n ON views BEGIN"
                      "  UPDATE views SET flushed = flushed + 1 WHERE page = new.page; END");
    snprintf(journal_dir, sizeof journal_dir, "%s/journal", e.directory);
    if (pipe(told) != 0)
        example_give_up("pipe", "failed");

    pid_t child = fork();
    if (child == 0)
        write_for_ever(&e, journal_dir, told[1]);
    close(told[1]);
    while (read(told[0], &n, sizeof n) == sizeof n) {
        last[n % PAGES] = n;
        if (++count == TOLD_BEFORE_THE_KILL)
            kill(child, SIGKILL); /* and read what it had said by then */
    }
    waitpid(child, NULL, 0);
    claim(&e, count >= TOLD_BEFORE_THE_KILL, "%d writes were answered, then the process was killed", count);

    fb_cache *cache = open_cache(&e, journal_dir, &shop);
    for (int page = 0; page < PAGES; page++) {
        char key[32], next[64], expected[64];
        snprintf(key, sizeof key, "views:%d", page);
        snprintf(expected, sizeof expected, "\"n\":%d,", last[page]);
        snprintf(next, sizeof next, "\"n\":%d,", last[page] + PAGES); /* written, and killed before the answer */
        row.len = 0;
        fb_status s = fb_get(cache, FB_STR(key), &row, NULL);
        fb_buf_append(&row, "", 1);
        shown += s == FB_OK && (strstr(row.data, expected) != NULL || strstr(row.data, next) != NULL);
    }
    claim(&e, shown == PAGES, "after the crash every page shows the last write that was answered");

    fb_status s = fb_drain(cache, 10000, &left);
    claim(&e, s == FB_OK && left == 0, "drained: the database has all of it");
    for (int page = 0; page < PAGES; page++) {
        char sql[64];
        snprintf(sql, sizeof sql, "SELECT n FROM views WHERE page = %d", page);
        long long found = example_number(&e, sql);
        stored += found == last[page] || found == last[page] + PAGES;
    }
    claim(&e, stored == PAGES, "and it agrees, page by page");
    long long written = example_number(&e, "SELECT sum(flushed) FROM views");
    claim(&e, written < count, "%d writes were %lld changes of rows", count, written);

    fb_close(cache);
    fb_buf_free(&row);
    snprintf(remove, sizeof remove, "rm -rf '%s'", journal_dir);
    if (system(remove) != 0)
        example_give_up(journal_dir, "cannot be removed");
    return example_end(&e);
}
