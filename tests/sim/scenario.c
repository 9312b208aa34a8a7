/* The scenario runner: one story per file, on a virtual clock, told in lines and checked line by line.
 *
 *     scenario [--trace] FILE-OR-FOLDER…
 *
 * The first line of a file is its claim. Then, one per line:
 *
 *     row absent | ttl 100ms | negative-ttl 50ms | wait 500ms       how the world begins; without: row v0, 1h, 1m, none
 *     grace 100ms | grace-down 1000ms | patience 50ms               without: none
 *     refresh-ahead 80% | early-refresh 100                         a share of the ttl, the beta of XFetch; without: none
 *     NAME get | refresh | lease | set | delete | around | ticket | behind | behind-delete | invalidate | invalidate-all
 *     NAME persist | expire 100ms
 *     NAME ask | fill | give-back | die | commit | end | fail | unknown | land | lose | cancel | join | tell | tell-not
 *     fN dispatch | query | home | home-error | lane-full           the Nth flight, counted from 1
 *     advance 5000ms | tick | source down | source up
 *     expect NAME vN | stale-vN | absent | waiting | queued | granted | lapsed | kept | FB_STATUS
 *     expect cache vN | absent | none         expect flights N         expect told EVENT (the last one)
 *
 * `commit`, `query` and `ask` are the moments at which the database takes or reads the row; `dispatch` and `home` when
 * the shard is told. At the end everything is carried out, and the world must be as world.h says. Prints TAP. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { NAMES_MAX = 32, FILES_MAX = 256, LINE_MAX_LEN = 256 };

static struct world world;

struct story {
    const char *path;
    unsigned line;
    bool has_begun;
    struct world_options options;
    bool is_row_absent;
    char names[NAMES_MAX][32];
    unsigned ops[NAMES_MAX], nnames;
    char error[LINE_MAX_LEN + 128];
};

static void fail_line(struct story *s, const char *what, const char *got) {
    if (s->error[0] == '\0')
        snprintf(s->error, sizeof s->error, "%s:%u: %s%s%s", s->path, s->line, what, got[0] ? ", but it is " : "", got);
}

static void begin(struct story *s) {
    if (s->has_begun)
        return;
    s->has_begun = true;
    world_begin(&world, &s->options, /* seed = */ 1);
    world.rows[0].versions[0].is_absent = s->is_row_absent;
}

static uint64_t ms_of(const char *word) { return word != NULL ? strtoull(word, NULL, 10) : 0; }

static struct op *op_of(struct story *s, const char *name) {
    for (unsigned i = 0; i < s->nnames; i++)
        if (strcmp(s->names[i], name) == 0)
            return &world.ops[s->ops[i]];
    return NULL;
}

/* The action must be one that the world offers. */
static void act(struct story *s, enum act what, unsigned index) {
    static struct action actions[ACTIONS_MAX];
    unsigned n = world_enabled(&world, actions);
    for (unsigned i = 0; i < n; i++)
        if (actions[i].act == what && actions[i].index == index) {
            world_do(&world, actions[i]);
            return;
        }
    fail_line(s, "this cannot happen here", "");
}

static void move_flight(struct story *s, unsigned number, enum act what) {
    for (unsigned i = 0; i < world.nflights; i++)
        if (world.flights[i].number == number) {
            act(s, what, i);
            return;
        }
    fail_line(s, "no such flight under way", "");
}

static void start(struct story *s, const char *name, const char *verb, const char *argument) {
    uint64_t arg = strcmp(verb, "expire") == 0 ? ms_of(argument) * 1000 : strcmp(verb, "behind-delete") == 0;
    if (strcmp(verb, "behind-delete") == 0)
        verb = "behind";
    for (unsigned kind = 0; kind < OP_KINDS; kind++)
        if (strcmp(verb, world_op_name((enum op_kind)kind)) == 0) {
            if (op_of(s, name) != NULL || s->nnames == NAMES_MAX) {
                fail_line(s, "this name is taken", "");
                return;
            }
            snprintf(s->names[s->nnames], sizeof s->names[0], "%s", name);
            s->ops[s->nnames++] = world.nops;
            world_do(&world, (struct action){ACT_START, 0, kind | arg << 8});
            return;
        }
    fail_line(s, "unknown verb", "");
}

/* The state of an operation in the words of `expect`. */
static const char *word_of(const struct op *op, char *room, size_t size) {
    switch (op->state) {
    case OP_WAITING: return "waiting";
    case OP_QUEUED: return "queued";
    case OP_GRANTED: return "granted";
    case OP_LAPSED: return "lapsed";
    case OP_LEASED: return "FB_LEASE";
    default: break;
    }
    if (op->kind == OP_ASIDE && op->leased != 0)
        return op->status == FB_OK ? "kept" : fb_status_name(op->status);
    if (op->kind != OP_READ && op->kind != OP_REFRESH && op->kind != OP_ASIDE)
        return fb_status_name(op->status);
    if (op->status == FB_NOTFOUND)
        return "absent";
    if (op->status != FB_OK)
        return fb_status_name(op->status);
    snprintf(room, size, "%sv%u", op->is_stale ? "stale-" : "", op->answer);
    return room;
}

static const char *cache_word(char *room, size_t size) {
    const struct row *row = &world.rows[0];
    struct fb_stamp stamp;
    char value[32];
    fb_buf out = {value, 0, sizeof value - 1};
    enum fb_verdict verdict = world_entry(&world, row, &stamp, &out) ? fb_grace(&stamp, world.policies, world.now)
                                                                     : FB_VERDICT_EXPIRED;
    if (verdict == FB_VERDICT_EXPIRED)
        return "none";
    value[out.len] = '\0';
    value[strcspn(value, " ")] = '\0';
    snprintf(room, size, "%s%s", verdict == FB_VERDICT_FRESH ? "" : "stale-", value);
    return stamp.kind == FB_KIND_NONE ? "absent" : room;
}

static void expect(struct story *s, const char *what, const char *wanted) {
    char room[64], line[LINE_MAX_LEN];
    const char *is;
    if (what == NULL || wanted == NULL) {
        fail_line(s, "expect what?", "");
        return;
    }
    struct op *op = op_of(s, what);
    if (strcmp(what, "cache") == 0)
        is = cache_word(room, sizeof room);
    else if (strcmp(what, "flights") == 0) {
        snprintf(room, sizeof room, "%u", world.nflights);
        is = room;
    } else if (strcmp(what, "told") == 0)
        is = world.rows[0].last_told;
    else if (op != NULL)
        is = word_of(op, room, sizeof room);
    else {
        fail_line(s, "nobody of this name", "");
        return;
    }
    snprintf(line, sizeof line, "%.60s should be %.60s", what, wanted);
    if (strcmp(is, wanted) != 0)
        fail_line(s, line, is);
}

/* Settings come before the world begins. */
static bool setting(struct story *s, const char *word, const char *argument) {
    if (strcmp(word, "row") == 0)
        s->is_row_absent = true;
    else if (strcmp(word, "ttl") == 0)
        s->options.policy.ttl_ms = (int64_t)ms_of(argument);
    else if (strcmp(word, "negative-ttl") == 0)
        s->options.policy.negative_ttl_ms = (int64_t)ms_of(argument);
    else if (strcmp(word, "wait") == 0)
        s->options.wait_ms = (int64_t)ms_of(argument);
    else if (strcmp(word, "grace") == 0)
        s->options.policy.grace_ms = (int64_t)ms_of(argument);
    else if (strcmp(word, "grace-down") == 0)
        s->options.policy.grace_down_ms = (int64_t)ms_of(argument);
    else if (strcmp(word, "refresh-ahead") == 0)
        s->options.policy.refresh_ahead = (double)ms_of(argument) / 100;
    else if (strcmp(word, "early-refresh") == 0)
        s->options.policy.early_refresh = (double)ms_of(argument);
    else if (strcmp(word, "patience") == 0)
        s->options.patience_ms = (int64_t)ms_of(argument);
    else
        return false;
    if (s->has_begun)
        fail_line(s, "settings come first", "");
    return true;
}

static void move(struct story *s, const char *name, const char *verb, const char *argument) {
    struct op *op = op_of(s, name);
    for (unsigned a = ACT_DISPATCH; a < ACT_TICK; a++)
        if (strcmp(verb, world_act_name((enum act)a)) == 0) {
            if (a <= ACT_LANE_FULL)
                move_flight(s, (unsigned)strtoul(name + 1, NULL, 10), (enum act)a);
            else if (op != NULL)
                act(s, (enum act)a, (unsigned)(op - world.ops));
            else
                fail_line(s, "nobody of this name", "");
            return;
        }
    start(s, name, verb, argument);
}

static void tell_line(struct story *s, char *line) {
    char *words[4] = {0}, *rest = line;
    unsigned n = 0;
    line[strcspn(line, "#\n")] = '\0';
    for (char *word; (word = strsep(&rest, " \t")) != NULL;)
        if (word[0] != '\0' && n < 4)
            words[n++] = word;
    if (n == 0 || setting(s, words[0], words[1]))
        return;
    begin(s);
    if (strcmp(words[0], "expect") == 0)
        expect(s, words[1], words[2]);
    else if (strcmp(words[0], "tick") == 0)
        world_do(&world, (struct action){ACT_TICK, 0, 0});
    else if (strcmp(words[0], "source") == 0 && n > 1)
        world_do(&world, (struct action){ACT_BREAKER, 0, strcmp(words[1], "down") == 0});
    else if (strcmp(words[0], "advance") == 0)
        world_do(&world, (struct action){ACT_ADVANCE, 0, ms_of(words[1]) * 1000});
    else if (n > 1)
        move(s, words[0], words[1], words[2]);
    else
        fail_line(s, "not a sentence", "");
}

/* Returns true when the story went as told. */
static bool tell(const char *path, FILE *trace, char *ret_claim, size_t size) {
    char line[LINE_MAX_LEN];
    struct story s = {.path = path};
    s.options = (struct world_options){
        .keys = 1,
        .bytes_max = 1 << 20,
        .evict = &fb_evict_s3fifo,
        .policy = {.ttl_ms = 3600000, .negative_ttl_ms = 60000},
        .allowed = UINT32_MAX,
        .trace = trace,
    };
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(line, sizeof line, f) == NULL || line[0] != '#') {
        fprintf(stderr, "# %s: cannot be read, or has no claim in its first line\n", path);
        if (f != NULL)
            fclose(f);
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    snprintf(ret_claim, size, "%s", line + 1 + strspn(line + 1, " "));
    for (s.line = 2; s.error[0] == '\0' && fgets(line, sizeof line, f) != NULL; s.line++)
        tell_line(&s, line);
    fclose(f);
    begin(&s);
    if (s.error[0] == '\0')
        world_finish(&world);
    if (s.error[0] != '\0' || world.violation[0] != '\0')
        fprintf(stderr, "# %s\n", s.error[0] != '\0' ? s.error : world.violation);
    return s.error[0] == '\0' && world.violation[0] == '\0';
}

static char *paths[FILES_MAX];
static unsigned npaths;

static void add_path(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s%s", folder, folder[0] ? "/" : "", name);
    if (npaths < FILES_MAX)
        paths[npaths++] = strdup(path);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(int argc, char **argv) {
    FILE *trace = NULL;
    unsigned failures = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            trace = stdout;
            continue;
        }
        DIR *dir = opendir(argv[i]);
        if (dir == NULL)
            add_path("", argv[i]);
        for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
            if (strlen(e->d_name) > 4 && strcmp(e->d_name + strlen(e->d_name) - 4, ".scn") == 0)
                add_path(argv[i], e->d_name);
        if (dir != NULL)
            closedir(dir);
    }
    if (npaths == 0) {
        fprintf(stderr, "usage: scenario [--trace] FILE-OR-FOLDER...\n");
        return 2;
    }
    qsort(paths, npaths, sizeof *paths, by_name);
    printf("1..%u\n", npaths);
    for (unsigned i = 0; i < npaths; i++) {
        char claim[LINE_MAX_LEN] = "";
        bool is_fine = tell(paths[i], trace, claim, sizeof claim);
        failures += !is_fine;
        printf("%s %u - %s\n", is_fine ? "ok" : "not ok", i + 1, claim[0] ? claim : paths[i]);
        free(paths[i]);
    }
    return failures > 0;
}
