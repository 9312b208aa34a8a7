/* forebay init: from a database's catalogue to a configuration to begin with.
 *
 * Whether a table can be mapped is not guessed here: it is added to a cache, as `serve` would, and what is refused comes
 * out as a comment with the reason. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/config_args.h"
#include "conf/conf.h"

enum { OPT_OUTPUT, OPT_NAME };
enum { NAME_SIZE = 256, PATTERN_SIZE = 1200 };

struct init {
    FILE *out;
    fb_cache *cache;
    fb_source *source;
    unsigned mapped, refused;
    bool is_out_of_memory;
};

/* ---- names ------------------------------------------------------------------------------------------------------ */

static bool ends_in(const char *text, const char *tail) {
    size_t len = strlen(text), n = strlen(tail);
    return len > n && strcasecmp(text + len - n, tail) == 0;
}

/* One row of "orders" is an "order", of "categories" a "category". English only, and a guess: the name is the user's. */
static void make_singular(char *name) {
    static const struct { const char *plural; size_t cut; const char *add; } rules[] = {
        {"ies", 3, "y"},  {"sses", 2, ""}, {"shes", 2, ""}, {"ches", 2, ""}, {"xes", 2, ""}, {"zes", 2, ""},
        {"ss", 0, ""},    {"us", 0, ""},   {"tuses", 2, ""},   {"is", 0, ""},   {"news", 0, ""}, {"series", 0, ""}, {"s", 1, ""},
    };
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (ends_in(name, rules[i].plural)) {
            name[len - rules[i].cut] = '\0';
            memcpy(name + len - rules[i].cut, rules[i].add, strlen(rules[i].add) + 1);
            return;
        }
}

/* Letters, digits, '_' and '-', in small letters: "InvoiceLine" is "invoice_line". */
static void make_prefix(const char *table, bool is_singular, char out[NAME_SIZE]) {
    size_t len = 0;
    for (const char *p = table; *p != '\0' && len < NAME_SIZE - 2; p++) {
        unsigned char c = (unsigned char)*p;
        if (isupper(c) && p > table && islower((unsigned char)p[-1]))
            out[len++] = '_';
        out[len++] = isalnum(c) || c == '_' || c == '-' ? (char)tolower(c) : '_';
    }
    out[len] = '\0';
    if (is_singular)
        make_singular(out);
}

static bool is_word(const char *name) {
    size_t len = strlen(name);
    bool ok = len > 0 && len < 64 && (isalpha((unsigned char)name[0]) || name[0] == '_');
    for (size_t i = 0; i < len && ok; i++)
        ok = isalnum((unsigned char)name[i]) || name[i] == '_';
    return ok;
}

/* "album:{AlbumId}", "line:{order_id}:{product_id}". A single key may be called what one likes. */
static bool make_pattern(const char *prefix, const fb_source_table *table, char out[PATTERN_SIZE]) {
    int len = snprintf(out, PATTERN_SIZE, "%s", prefix);
    for (size_t i = 0; i < table->nkey && len < PATTERN_SIZE; i++) {
        const char *name = is_word(table->key[i]) ? table->key[i] : "id";
        len += snprintf(out + len, PATTERN_SIZE - (size_t)len, ":{%s}", name);
    }
    return len < PATTERN_SIZE;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* Names come from a catalogue, which may hold anything: in a comment nothing ends the line. */
static void print_comment(FILE *out, const char *text) {
    for (; *text != '\0'; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text, out);
}

/* The reason without "keyspace 'PATTERN': ". */
static const char *bare(const fb_err *err) {
    const char *end = strstr(err->text, "': ");
    return strncmp(err->text, "keyspace '", strlen("keyspace '")) == 0 && end != NULL ? end + 3 : err->text;
}

static void print_keyspace(const struct init *init, const char *pattern, const char *table) {
    fputs("\n  ", init->out);
    fb_conf_print_text(init->out, pattern);
    fputs(":\n    table: ", init->out);
    fb_conf_print_text(init->out, table);
    fputs("\n    ttl: 1h\n    # write: write-through\n", init->out);
}

static void print_refused(struct init *init, const fb_source_table *table, const char *reason) {
    fputs(table->is_view ? "\n  # view " : "\n  # table ", init->out);
    print_comment(init->out, table->name);
    fputs(": ", init->out);
    print_comment(init->out, reason);
    fputc('\n', init->out);
    init->refused++;
}

/* What a statement of one's own looks like for a view or a table without a key. */
static void print_example(const struct init *init, const fb_source_table *table, const char *prefix) {
    const char *column = table->ncolumns > 0 ? table->columns[0] : "id";
    if (!is_word(column) || !is_word(table->name))
        return;
    fprintf(init->out,
            "  # '%s:{%s}':\n"
            "  #   load: SELECT * FROM \"%s\" WHERE \"%s\" = :%s\n",
            prefix, column, table->name, column, column);
}

static fb_status add(struct init *init, const char *prefix, const fb_source_table *table, fb_err *err) {
    char pattern[PATTERN_SIZE];
    fb_keyspace_options options = FB_KEYSPACE_OPTIONS_INIT;
    if (!make_pattern(prefix, table, pattern))
        return FB_CONFIG;
    options.pattern = pattern;
    options.source = init->source;
    options.table = table->name;
    fb_status status = fb_keyspace_add(init->cache, &options, err);
    if (status == FB_OK) {
        print_keyspace(init, fb_keyspace_at(init->cache, fb_keyspace_count(init->cache) - 1)->pattern, table->name);
        init->mapped++;
    }
    return status;
}

/* The rows that refer to one row elsewhere: "orders:by-user_id:{user_id}". As a comment, because who wants which list
 * cannot be known. */
static void propose_lists(struct init *init, const fb_source_table *table) {
    char prefix[NAME_SIZE], pattern[PATTERN_SIZE];
    make_prefix(table->name, false, prefix);
    for (size_t i = 0; i < table->nreferences; i++) {
        const char *column = table->references[i];
        fb_keyspace_options options = FB_KEYSPACE_OPTIONS_INIT;
        fb_err err;
        if (!is_word(column) || (table->nkey == 1 && strcmp(table->key[0], column) == 0))
            continue;
        (void)snprintf(pattern, sizeof pattern, "%s:by-%s:{%s}", prefix, column, column);
        options.pattern = pattern;
        options.source = init->source;
        options.table = table->name;
        options.rows = FB_ROWS_MANY;
        if (fb_keyspace_add(init->cache, &options, &err) != FB_OK)
            continue;
        fputs("  # ", init->out);
        fb_conf_print_text(init->out, fb_keyspace_at(init->cache, fb_keyspace_count(init->cache) - 1)->pattern);
        fputs(":   # all its rows as a JSON array\n  #   table: ", init->out);
        fb_conf_print_text(init->out, table->name);
        fputs("\n  #   rows: many\n", init->out);
    }
}

static void visit(void *user, const fb_source_table *table) {
    struct init *init = user;
    char prefix[NAME_SIZE];
    fb_err err = {0}, again = {0};
    make_prefix(table->name, true, prefix);
    if (table->is_view) {
        print_refused(init, table, "a view has no key; a statement says what a key means");
        print_example(init, table, prefix);
        return;
    }
    if (table->nkey == 0) {
        print_refused(init, table, "it has no primary key, so no key could name one row");
        print_example(init, table, prefix);
        return;
    }
    for (size_t i = 0; table->nkey > 1 && i < table->nkey; i++)
        if (!is_word(table->key[i])) {
            print_refused(init, table, "a column of its key has a name that no parameter can have");
            return;
        }
    fb_status status = add(init, prefix, table, &err);
    if (status == FB_CONFIG) { /* another table's rows may be called the same: then the whole name */
        make_prefix(table->name, false, prefix);
        status = add(init, prefix, table, &again);
    }
    if (status == FB_NOMEM)
        init->is_out_of_memory = true;
    else if (status != FB_OK)
        print_refused(init, table, bare(&err));
    else
        propose_lists(init, table);
}

/* ---- the password ----------------------------------------------------------------------------------------------- */

/* A configuration takes none in a URL, and nobody should find one in a file: the URL without it, and the variable where it
 * is looked for instead. Both are the caller's to free; false: out of memory. */
static bool part_password(const char *url, const char *name, char **ret_url, char **ret_variable) {
    const char *rest = strstr(url, "://");
    rest = rest != NULL ? rest + 3 : url + strlen(url);
    const char *at = memrchr(rest, '@', strcspn(rest, "/?#"));
    const char *colon = at != NULL ? memchr(rest, ':', (size_t)(at - rest)) : NULL;
    *ret_variable = NULL;
    *ret_url = fb_mem_strdup(url);
    if (*ret_url == NULL || colon == NULL)
        return *ret_url != NULL;
    memmove(*ret_url + (colon - url), at, strlen(at) + 1);
    size_t size = strlen(name) + sizeof "FOREBAY_SOURCE__PASSWORD";
    *ret_variable = fb_mem_alloc(size);
    if (*ret_variable == NULL)
        return false;
    int len = snprintf(*ret_variable, size, "FOREBAY_SOURCE_%s_PASSWORD", name);
    for (int i = 0; i < len; i++)
        (*ret_variable)[i] = (char)toupper((unsigned char)(*ret_variable)[i]);
    return true;
}

static void print_head(FILE *out, const char *name, const char *url, const char *variable) {
    fputs("# Written by `forebay init` from the database's catalogue. Check it with `forebay check FILE`, start it with\n"
          "# `forebay serve -c FILE`, and see every setting with `forebay reference settings`.\n"
          "\n"
          "server:\n"
          "  listen: localhost:6380\n"
          "  # memory_max: 256mb\n"
          "  # password: env:FOREBAY_PASSWORD\n"
          "\n"
          "sources:\n  ",
          out);
    fputs(name, out);
    fputs(":\n    url: ", out);
    fb_conf_print_text(out, url);
    if (variable != NULL)
        fprintf(out, "\n    password: env:%s", variable);
    fputs("\n\n"
          "# One keyspace per table: GET of a key answers with its row as JSON. `as: hash` gives a hash of the columns\n"
          "# instead. A row that is changed elsewhere is seen after `ttl` at the latest. Without `write` a keyspace is\n"
          "# read-only: uncomment the line to let clients change rows, the database first.\n"
          "\n"
          "keyspaces:\n",
          out);
}

static int write_all(struct init *init, const char *name, const char *url) {
    fb_err err = {0};
    fb_status status = fb_open(&(fb_options){.memory_max = 1 << 20}, &init->cache, &err);
    if (status == FB_OK)
        status = fb_source_open(init->cache, name, url, &(fb_source_options){.pool = 1}, &init->source, &err);
    char *bare_url = NULL, *variable = NULL;
    if (status == FB_OK && !part_password(url, name, &bare_url, &variable))
        status = FB_NOMEM;
    if (status == FB_OK) {
        print_head(init->out, name, bare_url, variable);
        status = fb_source_tables(init->source, visit, init, &err);
    }
    if (init->is_out_of_memory)
        status = FB_NOMEM;
    if (status == FB_OK && variable != NULL)
        fprintf(stderr, "the URL's password is not written down: set %s where Forebay is started\n", variable);
    fb_mem_free(bare_url);
    fb_mem_free(variable);
    if (status != FB_OK) {
        fprintf(stderr, "forebay: %s\n", err.text[0] != '\0' ? err.text : "out of memory");
        return status == FB_INVALID ? FB_EXIT_USAGE : fb_cli_exit_of(status);
    }
    fprintf(stderr, "%u table%s mapped, %u left as comments\n", init->mapped, init->mapped == 1 ? "" : "s",
            init->refused);
    if (init->mapped > 0)
        return FB_EXIT_OK;
    fprintf(stderr, "forebay: %s\n", init->refused > 0
                                        ? "no table could be mapped by its primary key; the comments say why"
                                        : "the database has no tables that this user may read");
    return FB_EXIT_FAILURE;
}

/* ---- the subcommand --------------------------------------------------------------------------------------------- */

/* Never over something that is there: it may have been edited. */
static FILE *create(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file == NULL)
        fprintf(stderr, "forebay: cannot create %s: %s\n%s", path, strerror(errno),
                errno == EEXIST ? "help: choose another name, or remove it first\n" : "");
    return file;
}

static int write_to(struct init *init, const char *path, const char *name, const char *url) {
    init->out = path != NULL ? create(path) : stdout;
    if (init->out == NULL)
        return FB_EXIT_CANTCREAT;
    int status = write_all(init, name, url);
    bool is_written = fflush(init->out) == 0 && !ferror(init->out);
    if (path != NULL) {
        is_written &= fclose(init->out) == 0;
        if (status != FB_EXIT_OK && status != FB_EXIT_FAILURE)
            (void)unlink(path);
    }
    if (!is_written) {
        fprintf(stderr, "forebay: cannot write %s\n", path != NULL ? path : "to stdout");
        return FB_EXIT_FAILURE;
    }
    return status;
}

static int run(struct fb_cli_args *args) {
    const char *value, *url = NULL, *path = NULL, *name = "main";
    struct init init = {0};
    for (int opt; (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
        switch (opt) {
        case OPT_OUTPUT: path = value; break;
        case OPT_NAME: name = value; break;
        case FB_CLI_WORD:
            if (url == NULL) {
                url = value;
                break;
            }
            __attribute__((fallthrough));
        default: return fb_cli_refuse(args, opt, value);
        }
    if (url == NULL)
        return fb_cli_usage(args->command, "say which database: forebay init sqlite:shop.db, or postgresql://… or mysql://…");
    if (!is_word(name))
        return fb_cli_usage(args->command, "'%s' is no name for a source: letters, digits and '_'", name);
    int status = write_to(&init, path, name, url);
    fb_close(init.cache);
    return status;
}

static const struct fb_cli_option options[] = {
    {"output", 'o', "FILE", "write there instead of to stdout; never over a file that exists", OPT_OUTPUT},
    {"name", 0, "NAME", "what the source is called; main", OPT_NAME},
    {0},
};

const struct fb_cli_command fb_cli_init = {
    "init",
    "URL [-o FILE]",
    "write a configuration from a database's tables",
    "Reads the catalogue of the database and writes a commented configuration: each table with a\n"
    "primary key becomes a keyspace, read-only until the line 'write' is uncommented; tables and\n"
    "views that cannot be mapped stand there as comments with the reason, and so do lists of the\n"
    "rows that refer to another table's.\n\n"
    "  forebay init sqlite:shop.db -o forebay.yaml && forebay serve",
    options,
    false,
    run,
};
