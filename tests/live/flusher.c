/* Drives the write-behind side of a driver by lines on stdin, for tests with real databases (wire/test_flush.py): one
 * command per line, words separated by spaces and percent-encoded, one answer line each (flush and the letters: more,
 * and "end").
 *
 *     flusher URL WRITE_TIMEOUT_MS
 *
 *     bind PATTERN TABLE                      as a hash; answers its number
 *     bindsql PATTERN LOAD STORE DELETE
 *     item BINDING KEY SEQ VERB [COLUMN=TEXT | COLUMN+=TEXT | COLUMN!]…    VERB: merge replace delete recreate hdel
 *     clear                                   forget the items
 *     flush PART EPOCH PREV NEXT ROWS|same DEAD_MAX
 *     store                                   the items one by one, each a transaction, as write-through does
 *     claim PART OWNER ADDR JOURNAL START · read PART · clean PART EPOCH SEQ · takeover PART
 *     deadlist PART|* AFTER LIMIT · deadget ID · deaddrop ID · deadretry PART EPOCH ID · deadadd PART */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "source/flush.h"

enum { WORDS_MAX = 600, BINDINGS_MAX = 32, LINE_MAX_BYTES = 1 << 20 };

static const struct fb_driver_ops *ops;
static struct fb_driver *driver;
static struct fb_session *session;
static struct fb_binding *bindings[BINDINGS_MAX];
static size_t nbindings;
static struct fb_flush_item *items;
static size_t nitems, room;
static fb_err err;

static void die(const char *why) {
    fprintf(stderr, "flusher: %s: %s\n", why, err.text);
    exit(1);
}

static void *must(void *p) {
    if (p == NULL)
        die("out of memory");
    return p;
}

/* What the items are made of. */
static void **kept;
static size_t nkept, kept_room;

static void *keep(void *p) {
    if (nkept == kept_room) {
        kept_room = kept_room > 0 ? 2 * kept_room : 1024;
        kept = must(fb_mem_realloc(kept, kept_room * sizeof *kept));
    }
    return kept[nkept++] = must(p);
}

/* ---- words ---- */

static int hex(char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

static void decode(char *word) {
    char *to = word;
    for (; *word != '\0'; word++)
        if (*word == '%' && word[1] != '\0' && word[2] != '\0') {
            *to++ = (char)(hex(word[1]) * 16 + hex(word[2]));
            word += 2;
        } else {
            *to++ = *word;
        }
    *to = '\0';
}

static void put(fb_bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c > ' ' && c < 127 && c != '%')
            putchar(c);
        else
            printf("%%%02x", c);
    }
    putchar(' ');
}

static uint64_t number(const char *word) { return strtoull(word, NULL, 10); }

/* ---- items ---- */

/* What was given as fields of one kind, checked and typed as a client's. */
static struct fb_plan *make_plan(const struct fb_binding *b, const char *key, fb_op_kind kind, fb_field *fields,
                                 size_t n) {
    struct fb_plan *plan = NULL;
    const fb_op op = {.kind = kind, .key = FB_STR(key), .fields = n > 0 ? fields : NULL, .nfields = n};
    if (ops->plan(b, &op, &plan, &err) != FB_OK)
        die("plan");
    return keep(plan);
}

static int by_column(const void *a, const void *b) {
    const struct fb_assign *x = a, *y = b;
    return x->column < y->column ? -1 : 1;
}

static const struct fb_plan *coalesce(const struct fb_binding *b, const char *key, const char *verb, char **words,
                                      size_t nwords) {
    static fb_field sets[WORDS_MAX], nulls[WORDS_MAX], adds[WORDS_MAX];
    size_t nsets = 0, nnulls = 0, nadds = 0, n = 0;
    struct fb_assign *assigns = keep(fb_mem_calloc(nwords + 1, sizeof *assigns));
    for (size_t i = 0; i < nwords; i++) {
        char *equals = strchr(words[i], '=');
        if (equals == NULL) {
            words[i][strlen(words[i]) - 1] = '\0';
            nulls[nnulls++].name = FB_STR(words[i]);
            continue;
        }
        bool is_addend = equals > words[i] && equals[-1] == '+';
        equals[is_addend ? -1 : 0] = *equals = '\0';
        fb_field *field = is_addend ? &adds[nadds++] : &sets[nsets++];
        field->name = FB_STR(words[i]);
        field->value = FB_STR(equals + 1);
    }
    struct fb_plan *plan = make_plan(b, key, FB_OP_DELETE, NULL, 0);
    if (strcmp(verb, "delete") == 0)
        return plan;
    plan->op = strcmp(verb, "hdel") == 0 ? FB_OP_HDEL : FB_OP_HSET;
    plan->replaces = strcmp(verb, "replace") == 0;
    plan->recreates = strcmp(verb, "recreate") == 0;
    const struct { size_t n; fb_field *fields; fb_op_kind kind; } parts[] = {
        {nsets, sets, FB_OP_HSET}, {nnulls, nulls, FB_OP_HDEL}, {nadds, adds, FB_OP_HSET}};
    for (size_t p = 0; p < 3; p++) {
        const struct fb_plan *part = NULL;
        if (parts[p].n > 0)
            part = make_plan(b, key, parts[p].kind, parts[p].fields, parts[p].n);
        for (unsigned i = 0; part != NULL && i < part->nassigns; i++) {
            assigns[n] = part->assigns[i];
            assigns[n++].adds = p == 2;
        }
    }
    qsort(assigns, n, sizeof *assigns, by_column);
    plan->assigns = assigns;
    plan->nassigns = (unsigned)n;
    return plan;
}

static void forget(void) {
    for (size_t i = 0; i < nitems; i++)
        fb_value_unref(items[i].error);
    while (nkept > 0)
        fb_mem_free(kept[--nkept]);
    nitems = 0;
}

static void add_item(char **words, size_t n) {
    if (nitems == room) {
        room = room > 0 ? 2 * room : 1024;
        items = must(fb_mem_realloc(items, room * sizeof *items));
    }
    const struct fb_binding *b = bindings[number(words[0])];
    char *key = keep(fb_mem_strdup(words[1]));
    items[nitems++] = (struct fb_flush_item){.binding = b, .key = FB_STR(key), .seq = number(words[2]),
                                             .record = FB_STR(key),
                                             .plan = coalesce(b, key, words[3], words + 4, n - 4)};
}

/* ---- commands ---- */

static void say_status(fb_status status) {
    printf("%s ", fb_status_name(status));
    put(FB_STR(status < 0 || status == FB_UNMET ? err.text : ""));
    printf("\n");
}

static void bind(char **words, size_t n) {
    fb_keyspace_options o = FB_KEYSPACE_OPTIONS_INIT;
    char *pattern = NULL;
    o.pattern = words[0];
    o.as = "hash";
    if (n == 2)
        o.table = words[1];
    else
        o.load = words[1], o.store = words[2], o.del = words[3];
    if (ops->bind(driver, &o, &bindings[nbindings], &pattern, &err) != FB_OK)
        die("bind");
    fb_mem_free(pattern);
    printf("%zu\n", nbindings++);
}

static void flush(char **words) {
    static unsigned rows;
    if (strcmp(words[4], "same") != 0)
        rows = (unsigned)number(words[4]);
    struct fb_flush f = {.part = words[0], .epoch = number(words[1]), .prev_seq = number(words[2]),
                         .next_seq = number(words[3]), .items = items, .n = nitems,
                         .rows_per_statement = rows, .dead_max = (unsigned)number(words[5])};
    fb_instant begun = fb_clock_now();
    enum fb_flush_outcome outcome = ops->flush->flush(session, &f, &err);
    int64_t us = fb_since(fb_clock_now(), begun).ns / 1000;
    rows = f.rows_per_statement;
    put(FB_STR(fb_flush_outcome_name(outcome)));
    printf("%" PRIu64 " %zu %zu %" PRId64 " ", f.applied_seq, f.ndead, f.nstatements, us);
    put(FB_STR(err.text));
    printf("\n");
    for (size_t i = 0; i < nitems; i++)
        if (items[i].status != FB_OK) {
            printf("%" PRIu64 " %s ", items[i].seq, fb_status_name(items[i].status));
            put(fb_value_bytes(items[i].error));
            printf("\n");
        }
    printf("end\n");
}

static void store(void) {
    fb_instant begun = fb_clock_now();
    for (size_t i = 0; i < nitems; i++) {
        struct fb_store_item item = {.binding = items[i].binding, .key = items[i].key, .plan = items[i].plan};
        struct fb_store_group group = {.items = &item, .nitems = 1}, *groups[] = {&group};
        ops->store(session, groups, 1);
        fb_value_unref(item.after);
        if (item.status < 0)
            die("store");
    }
    printf("%" PRId64 "\n", fb_since(fb_clock_now(), begun).ns / 1000);
}

static void put_row(const struct fb_partition *row) {
    printf("%" PRIu64 " %" PRIu64 " %d ", row->epoch, row->applied_seq, row->is_clean);
    put(FB_STR(row->owner[0] != '\0' ? row->owner : "-"));
    put(FB_STR(row->addr[0] != '\0' ? row->addr : "-"));
    put(FB_STR(row->journal[0] != '\0' ? row->journal : "-"));
}

static void claim(char **words) {
    static const char *const names[] = {[FB_CLAIM_MINE] = "mine", [FB_CLAIM_NEW] = "new", [FB_CLAIM_HELD] = "held",
                                        [FB_CLAIM_ERROR] = "error", [FB_CLAIM_FREE] = "free"};
    const struct fb_claimant c = {.part = words[0], .owner = words[1], .addr = words[2], .journal = words[3],
                                  .start_seq = number(words[4]), .leap = 1};
    struct fb_partition row = {.epoch = 0};
    err.text[0] = '\0';
    enum fb_claim answer = ops->flush->claim(session, &c, &row, &err);
    printf("%s ", names[answer]);
    put_row(&row);
    put(FB_STR(err.text));
    printf("\n");
}

static void say_row(fb_status status, const struct fb_partition *row) {
    printf("%s ", fb_status_name(status));
    if (status == FB_OK)
        put_row(row);
    printf("\n");
}

static void put_letter(void *user, const struct fb_dead_letter *letter) {
    (void)user;
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " ", letter->id, letter->seq, letter->attempts);
    put(letter->part);
    put(letter->keyspace);
    put(letter->key);
    put(letter->record);
    put(letter->code);
    put(letter->at);
    put(letter->message);
    printf("\n");
}

static void say_letters(fb_status status) {
    printf("end %s\n", fb_status_name(status));
}

static void obey(const char *verb, char **words, size_t n) {
    const struct fb_flush_ops *f = ops->flush;
    struct fb_partition row = {.epoch = 0};
    if (strcmp(verb, "bind") == 0 || strcmp(verb, "bindsql") == 0) {
        bind(words, n);
    } else if (strcmp(verb, "item") == 0) {
        add_item(words, n);
        return; /* there may be thousands */
    } else if (strcmp(verb, "clear") == 0) {
        forget();
        return;
    } else if (strcmp(verb, "flush") == 0) {
        flush(words);
    } else if (strcmp(verb, "store") == 0) {
        store();
    } else if (strcmp(verb, "claim") == 0) {
        claim(words);
    } else if (strcmp(verb, "read") == 0) {
        say_row(f->read(session, words[0], &row, &err), &row);
    } else if (strcmp(verb, "takeover") == 0) {
        say_row(f->take_over(session, words[0], &row, &err), &row);
    } else if (strcmp(verb, "clean") == 0) {
        say_status(f->clean(session, words[0], number(words[1]), number(words[2]), &err));
    } else if (strcmp(verb, "deadlist") == 0) {
        const char *part = strcmp(words[0], "*") == 0 ? NULL : words[0];
        say_letters(f->dead_list(session, part, number(words[1]), number(words[2]), put_letter, NULL, &err));
    } else if (strcmp(verb, "deadget") == 0) {
        say_letters(f->dead_get(session, number(words[0]), put_letter, NULL, &err));
    } else if (strcmp(verb, "deaddrop") == 0) {
        say_status(f->dead_drop(session, number(words[0]), &err));
    } else if (strcmp(verb, "deadretry") == 0) {
        say_status(f->dead_retry(session, words[0], number(words[1]), number(words[2]), &items[0], &err));
    } else if (strcmp(verb, "deadadd") == 0) {
        say_status(f->dead_add(session, words[0], items, nitems, &err));
    } else {
        die(verb);
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    static char *words[WORDS_MAX], line[LINE_MAX_BYTES];
    if (argc != 3)
        die("usage: flusher URL WRITE_TIMEOUT_MS");
    const fb_source_options options = {.write_timeout_ms = (int64_t)number(argv[2])};
    ops = fb_driver_find(argv[1], &err);
    if (ops == NULL || ops->open(argv[1], &options, &driver, &err) != FB_OK ||
        ops->session_open(driver, /* is_writer */ true, &session, &err) != FB_OK)
        die("open");
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t n = 0;
        for (char *word = line, *end; n < WORDS_MAX; word = end + 1) {
            end = word + strcspn(word, " \n");
            bool is_last = *end != ' ';
            *end = '\0';
            decode(word);
            words[n++] = word;
            if (is_last)
                break;
        }
        obey(words[0], words + 1, n - 1);
    }
    forget();
    fb_mem_free(items);
    fb_mem_free(kept);
    for (size_t i = 0; i < nbindings; i++)
        ops->unbind(bindings[i]);
    ops->session_close(session);
    ops->close(driver);
    return 0;
}
