/* forebay journal: what lies in the journal of write-behind, whether it is whole, and saving what can be read of it. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <forebay/forebay.h>

#include "journal/files.h"
#include "journal/survey.h"
#include "journal/wal.h"

enum { OPT_GROUPS, OPT_RECORDS, WORDS_MAX = 3, KEY_SHOWN_MAX = 40, SIZE_TEXT = 16, TIME_TEXT = 32 };

/* What one run found. */
struct report {
    bool shows_segments, shows_groups, shows_records;
    const char *dir;
    uint64_t segments, bytes, records, first_seq, last_seq, gaps;
    uint64_t groups, marks, segment_records; /* of the segment under way */
    char name[FB_SEGMENT_NAME];
    bool is_torn;
    uint64_t torn_at;
};

static const char *size_text(uint64_t bytes, char out[SIZE_TEXT]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double n = (double)bytes;
    size_t u = 0;
    for (; n >= 1024 && u + 1 < sizeof units / sizeof units[0]; u++)
        n /= 1024;
    (void)snprintf(out, SIZE_TEXT, u == 0 ? "%.0f %s" : "%.1f %s", n, units[u]);
    return out;
}

static const char *time_text(int64_t us, char out[TIME_TEXT]) {
    time_t s = (time_t)(us / 1000000);
    struct tm tm;
    if (gmtime_r(&s, &tm) == NULL || strftime(out, TIME_TEXT, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
    return out;
}

/* Keys are bytes of anybody's choice: nothing of them reaches the terminal but what can be printed. */
static void print_key(fb_bytes key) {
    for (size_t i = 0; i < key.len && i < KEY_SHOWN_MAX; i++) {
        unsigned char c = (unsigned char)key.data[i];
        if (c >= ' ' && c < 0x7f && c != '\\')
            putchar(c);
        else
            printf("\\x%02x", c);
    }
    if (key.len > KEY_SHOWN_MAX)
        printf("…");
}

static fb_status on_segment(void *user, const char *name, const struct fb_reader *reader) {
    struct report *r = user;
    char made[TIME_TEXT];
    (void)snprintf(r->name, sizeof r->name, "%s", name);
    r->groups = r->marks = r->segment_records = 0;
    if (r->shows_segments && r->segments == 0) {
        printf("journal ");
        for (int i = 0; i < FB_UUID; i++)
            printf("%02x%s", reader->head.uuid[i], i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
        printf("\n\n%-24s  %10s  %4s  %7s  %s\n", "segment", "size", "used", "groups", "records");
    }
    if (r->shows_groups)
        printf("%s  epoch %" PRIu64 ", made %s\n", name, reader->head.epoch, time_text(reader->head.created_us, made));
    r->segments++;
    r->bytes += reader->size;
    return FB_OK;
}

static void print_records(const struct fb_reader *reader) {
    struct fb_record_head head;
    fb_bytes key, payload;
    size_t cursor = 0;
    bool good;
    for (uint64_t seq = reader->group.first_seq; fb_record_get(reader->records, &cursor, &head, &key, &payload, &good);
         seq++) {
        printf("    %12" PRIu64 "  type %-3u %9zu bytes  ", seq, head.type, payload.len);
        print_key(key);
        printf("%s\n", head.more ? "  +" : "");
    }
}

static fb_status on_group(void *user, const struct fb_reader *reader) {
    struct report *r = user;
    bool is_mark = reader->group.kind == FB_GROUP_MARK;
    if (r->shows_groups && is_mark)
        printf("  at %10" PRIu64 "  mark\n", reader->group_at);
    else if (r->shows_groups)
        printf("  at %10" PRIu64 "  %9" PRIu64 " bytes  records %" PRIu64 " to %" PRIu64 "\n", reader->group_at,
               fb_group_end(&reader->group) - reader->group_at, reader->group.first_seq, reader->next_seq - 1);
    if (r->shows_records && !is_mark)
        print_records(reader);
    r->groups += !is_mark;
    r->marks += is_mark;
    r->segment_records += reader->group.count;
    if (r->records == 0)
        r->first_seq = reader->group.first_seq;
    r->records += reader->group.count;
    if (!is_mark)
        r->last_seq = reader->next_seq - 1;
    return FB_OK;
}

static fb_status on_end(void *user, const struct fb_reader *reader, bool is_torn) {
    struct report *r = user;
    char size[SIZE_TEXT];
    if (is_torn) {
        r->is_torn = true;
        r->torn_at = reader->at;
    }
    if (!r->shows_segments)
        return FB_OK;
    printf("%-24s  %10s  %3.0f%%  %7" PRIu64 "  ", r->name, size_text(reader->size, size),
           100.0 * (double)reader->at / (double)reader->size, r->groups);
    if (r->segment_records > 0)
        printf("%" PRIu64 " to %" PRIu64 "\n", reader->next_seq - r->segment_records, reader->next_seq - 1);
    else
        printf("none yet; the next is %" PRIu64 "\n", reader->next_seq);
    return FB_OK;
}

static fb_status on_gap(void *user, const struct fb_survey_gap *gap) {
    struct report *r = user;
    printf("DAMAGED: %s", gap->name);
    if (gap->at > 0)
        printf(" at byte %" PRIu64, gap->at);
    printf(": %s\n", gap->why);
    if (gap->last_seq > gap->first_seq)
        printf("  records %" PRIu64 " to %" PRIu64 " cannot be read\n", gap->first_seq, gap->last_seq);
    else if (gap->last_seq == gap->first_seq)
        printf("  record %" PRIu64 " cannot be read\n", gap->first_seq);
    else if (gap->is_end)
        printf("  nothing can be read from record %" PRIu64 " on\n", gap->first_seq);
    else
        printf("  no record is missing\n");
    r->gaps++;
    return FB_OK;
}

static int failure(const struct fb_cli_command *command, const fb_err *err) {
    fprintf(stderr, "forebay %s: %s\n", command->name, err->text);
    return err->status == FB_NOMEM ? FB_EXIT_INTERNAL : FB_EXIT_FAILURE;
}

static int survey(struct fb_cli_args *args, struct report *r) {
    fb_err err = {.text = ""};
    struct fb_files *files;
    struct fb_survey walk = {.user = r, .segment = on_segment, .group = on_group, .gap = on_gap, .end = on_end};
    if (fb_files_open(r->dir, /* makes_dir */ false, &files, &err) != FB_OK)
        return failure(args->command, &err);
    fb_status status = fb_survey(files, &walk, &err);
    fb_files_finish(files);
    if (status != FB_OK)
        return failure(args->command, &err);
    if (r->segments == 0 && r->gaps == 0) {
        fprintf(stderr, "forebay journal: there is no journal in %s\n", r->dir);
        return FB_EXIT_FAILURE;
    }
    if (r->is_torn)
        printf("%s%s ends at byte %" PRIu64 " with a write that was never acknowledged; the next start cuts it off\n",
               r->shows_segments ? "\n" : "", r->name, r->torn_at);
    return r->gaps > 0 ? FB_EXIT_DATAERR : FB_EXIT_OK;
}

static int verify(struct fb_cli_args *args, struct report *r) {
    char size[SIZE_TEXT];
    int status = survey(args, r);
    if (status == FB_EXIT_OK && r->records > 0)
        printf("OK: records %" PRIu64 " to %" PRIu64 ", %" PRIu64 " segment%s, %s: every checksum is right\n",
               r->first_seq, r->last_seq, r->segments, r->segments == 1 ? "" : "s", size_text(r->bytes, size));
    else if (status == FB_EXIT_OK)
        printf("OK: no records\n");
    if (status == FB_EXIT_DATAERR)
        printf("\nForebay does not start from this. What can be read can be copied, and started from:\n"
               "  forebay journal salvage %s NEW-DIRECTORY\n"
               "docs/journal.md says what to think of before.\n", r->dir);
    return status;
}

static int salvage(struct fb_cli_args *args, struct report *r, const char *to_dir) {
    fb_err err = {.text = ""};
    struct fb_files *from = NULL, *to = NULL;
    struct fb_salvage done;
    int lock = -1;
    fb_status status = fb_files_open(r->dir, /* makes_dir */ false, &from, &err);
    if (status == FB_OK && (lock = from->ops->lock(from, FB_WAL_LOCK)) == -EWOULDBLOCK) {
        fb_files_finish(from);
        fprintf(stderr, "forebay journal: a running Forebay has %s; stop it first\n", r->dir);
        return FB_EXIT_FAILURE;
    }
    if (status == FB_OK)
        status = fb_files_open(to_dir, /* makes_dir */ true, &to, &err);
    if (status == FB_OK)
        status = fb_salvage(from, to, on_gap, r, &done, &err);
    if (lock >= 0)
        (void)from->ops->close(from, lock);
    fb_files_finish(from);
    fb_files_finish(to);
    if (status != FB_OK)
        return failure(args->command, &err);
    printf("%" PRIu64 " record%s copied to %s, %" PRIu64 " segment%s; %s\n", done.records, done.records == 1 ? "" : "s",
           to_dir, done.segments, done.segments == 1 ? "" : "s",
           done.gaps > 0 ? "left out is what is said above" : "nothing is left out");
    return done.gaps > 0 ? FB_EXIT_DATAERR : FB_EXIT_OK;
}

static int run(struct fb_cli_args *args) {
    struct report r = {0};
    const char *words[WORDS_MAX], *value;
    size_t n = 0;
    for (int opt; (opt = fb_cli_next(args, &value)) != FB_CLI_END;)
        switch (opt) {
        case OPT_GROUPS: r.shows_groups = true; break;
        case OPT_RECORDS: r.shows_groups = r.shows_records = true; break;
        case FB_CLI_WORD:
            if (n == WORDS_MAX)
                return fb_cli_refuse(args, opt, value);
            words[n++] = value;
            break;
        default: return fb_cli_refuse(args, opt, value);
        }
    if (n < 2)
        return fb_cli_usage(args->command, "say what to do, inspect, verify or salvage, and the journal's directory");
    r.dir = words[1];
    bool is_inspect = strcmp(words[0], "inspect") == 0;
    if ((r.shows_groups && !is_inspect) || (n == 3) != (strcmp(words[0], "salvage") == 0))
        return fb_cli_usage(args->command, strcmp(words[0], "salvage") == 0 ? "salvage wants a directory for the copy"
                                           : n == 3                        ? "unexpected argument '%s'"
                                                                           : "--groups and --records go with inspect",
                            words[n - 1]);
    if (is_inspect) {
        r.shows_segments = !r.shows_groups;
        return survey(args, &r);
    }
    if (strcmp(words[0], "verify") == 0)
        return verify(args, &r);
    if (strcmp(words[0], "salvage") == 0)
        return salvage(args, &r, words[2]);
    return fb_cli_usage(args->command, "'%s' is none of inspect, verify and salvage", words[0]);
}

static const struct fb_cli_option options[] = {
    {"groups", 'g', NULL, "inspect: every group instead of every segment", OPT_GROUPS},
    {"records", 'r', NULL, "inspect: every group and every record with its key", OPT_RECORDS},
    {0},
};

const struct fb_cli_command fb_cli_journal = {
    "journal",
    "inspect|verify DIR | salvage DIR NEW-DIR",
    "look into the journal of write-behind, check it, save what can be read",
    "inspect lists the segments of the journal in DIR, or their groups, or their records. verify reads\n"
    "every byte: it says OK, or what is damaged, where, and which records are gone. Both change nothing,\n"
    "also beside a running Forebay. salvage copies all that can be read into NEW-DIR and says what was\n"
    "left out; Forebay starts from the copy.\n\n"
    "Exit status: 0 when all is well, 65 when something is damaged (for salvage: was left out), 1 when\n"
    "the files cannot be read.",
    options,
    false,
    run,
};
