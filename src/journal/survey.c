/* The walk: every segment, every group, past all damage. */
#include "journal/survey.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "journal/copy.h"
#include "journal/wal.h"

static bool note_name(void *user, const char *name) {
    struct fb_listing *list = user;
    uint64_t seq;
    list->has_spare |= strcmp(name, FB_WAL_SPARE) == 0;
    list->has_copy |= strcmp(name, FB_COPY_NAME) == 0;
    if (!fb_segment_name_parse(name, &seq))
        return true;
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? 64 : list->cap * 2;
        uint64_t *more = cap > FB_WAL_SEGMENTS_MAX ? NULL : fb_mem_realloc(list->seqs, cap * sizeof *more);
        if (more == NULL) {
            list->no_memory = true;
            return false;
        }
        list->seqs = more;
        list->cap = cap;
    }
    list->seqs[list->n++] = seq;
    return true;
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

fb_status fb_list_segments(struct fb_files *files, struct fb_listing *ret_listing, fb_err *reterr) {
    struct fb_listing list = {0};
    int r = files->ops->list(files, note_name, &list);
    if (r == 0 && !list.no_memory) {
        if (list.n > 1)
            qsort(list.seqs, list.n, sizeof *list.seqs, by_number);
        *ret_listing = list;
        return FB_OK;
    }
    fb_mem_free(list.seqs);
    *ret_listing = (struct fb_listing){0};
    return r < 0 ? fb_fail(reterr, FB_SYSTEM, "cannot list the journal's directory: %s", strerror(-r))
                 : fb_fail(reterr, FB_NOMEM, "out of memory");
}

/* ---- the walk -------------------------------------------------------------------------------------------------- */

struct walker {
    const struct fb_survey *walk;
    struct fb_files *files;
    fb_err *err;
    struct fb_reader reader;
    char name[FB_SEGMENT_NAME];
    bool is_end;
    uint8_t uuid[FB_UUID];         /* of the first good head; zero: there is none */
    uint64_t next_seq;             /* up to here all is known, or told as missing */
    char why[FB_READER_WHY_MAX];   /* of damage behind which nothing was found yet; empty: none */
    uint64_t damaged_at;
    char damaged_name[FB_SEGMENT_NAME];
};

#define TELL(w, what, ...) ((w)->walk->what != NULL ? (w)->walk->what((w)->walk->user, __VA_ARGS__) : FB_OK)

static void note_damage(struct walker *w) {
    if (w->why[0] != '\0')
        return; /* the first place tells more */
    memcpy(w->why, w->reader.why, sizeof w->why);
    memcpy(w->damaged_name, w->name, sizeof w->name);
    w->damaged_at = w->reader.seed == 0 ? 0 : w->reader.at;
}

/* What was found next begins with `seq`. */
static fb_status close_gap(struct walker *w, uint64_t seq, const char *otherwise) {
    fb_status status = FB_OK;
    bool is_damage = w->why[0] != '\0';
    if (seq > w->next_seq || is_damage) {
        struct fb_survey_gap gap = {.name = is_damage ? w->damaged_name : w->name, .at = is_damage ? w->damaged_at : 0,
                                  .first_seq = w->next_seq, .last_seq = seq - 1, .is_end = w->is_end,
                                    .why = is_damage ? w->why : otherwise};
        status = TELL(w, gap, &gap);
    }
    w->why[0] = '\0';
    if (seq > w->next_seq)
        w->next_seq = seq;
    return status;
}

/* The good records of a group that is damaged: runs of whole units. A run lies between the offsets and numbers. */
struct run { size_t begin, end; uint64_t seq, end_seq; };

static fb_status tell_run(struct walker *w, fb_bytes records, const struct run *run) {
    if (run->end_seq == run->seq)
        return FB_OK;
    fb_status status = close_gap(w, run->seq, "");
    if (status == FB_OK)
        status = TELL(w, units, run->seq, (uint32_t)(run->end_seq - run->seq),
                      fb_bytes_of(records.data + run->begin, run->end - run->begin));
    w->next_seq = run->end_seq;
    return status;
}

static fb_status tell_units(struct walker *w) {
    struct fb_group_head group;
    struct fb_record_head head;
    fb_bytes records, key, payload;
    if (!fb_reader_raw(&w->reader, &group, &records) || group.kind != FB_GROUP_DATA || group.first_seq < w->next_seq)
        return FB_OK;
    struct run run = {.seq = group.first_seq, .end_seq = group.first_seq};
    uint64_t seq = group.first_seq, end_seq = seq + group.count;
    size_t cursor = 0;
    bool good, unit_good = true;
    fb_status status = FB_OK;
    while (status == FB_OK && seq < end_seq && fb_record_get(records, &cursor, &head, &key, &payload, &good)) {
        seq++;
        if (!good && unit_good) {
            status = tell_run(w, records, &run);
            note_damage(w);
        }
        unit_good &= good; /* whether a damaged record ends its unit nobody knows: the next good end does */
        if (!unit_good)
            run = (struct run){cursor, cursor, seq, seq};
        else if (!head.more) {
            run.end = cursor;
            run.end_seq = seq;
        }
        if (good && !head.more)
            unit_good = true;
    }
    if (status == FB_OK)
        status = tell_run(w, records, &run);
    if (w->next_seq < end_seq)
        note_damage(w);
    return status;
}

static fb_status walk_groups(struct walker *w, bool *ret_torn) {
    fb_status status = FB_OK;
    while (status == FB_OK) {
        enum fb_read read = fb_reader_next(&w->reader);
        if (read == FB_READ_FAILED)
            return fb_fail(w->err, FB_SYSTEM, "cannot read %s: %s", w->name, w->reader.why);
        *ret_torn = read == FB_READ_TORN;
        if (read == FB_READ_TORN || read == FB_READ_END)
            break;
        if (read == FB_READ_DAMAGED) {
            note_damage(w);
            status = tell_units(w);
            if (status == FB_OK && !fb_reader_resume(&w->reader))
                break;
            continue;
        }
        if (w->reader.group.first_seq < w->next_seq && read == FB_READ_GROUP)
            continue; /* an older one that strayed here */
        status = close_gap(w, w->reader.group.first_seq, "nothing holds them");
        if (status == FB_OK)
            status = TELL(w, group, &w->reader);
        w->next_seq = w->reader.next_seq;
    }
    return status;
}

static void find_uuid(struct walker *w, const struct fb_listing *list) {
    struct fb_reader reader;
    char name[FB_SEGMENT_NAME];
    bool is_found = false;
    for (size_t i = 0; i < list->n && !is_found; i++) {
        fb_segment_name(list->seqs[i], name);
        is_found = fb_reader_open(&reader, w->files, name) == FB_READ_END;
        if (is_found)
            memcpy(w->uuid, reader.head.uuid, FB_UUID);
        fb_reader_close(&reader);
    }
}

/* How far the next segment says that this one went. */
static uint64_t follows_of(struct fb_files *files, uint64_t next_first_seq) {
    struct fb_reader next;
    char name[FB_SEGMENT_NAME];
    fb_segment_name(next_first_seq, name);
    uint64_t follows = fb_reader_open(&next, files, name) == FB_READ_END ? next.head.follows : next_first_seq - 1;
    fb_reader_close(&next);
    return follows;
}

/* `next` is the number in the next segment's name; 0: this is the last. */
static fb_status walk_segment(struct walker *w, bool is_first, uint64_t first_seq, uint64_t next) {
    enum fb_read read = fb_reader_open(&w->reader, w->files, w->name);
    w->reader.has_successor = next > 0;
    w->reader.last_seq = next > 0 ? follows_of(w->files, next) : 0;
    bool is_torn = false;
    if (read == FB_READ_FAILED)
        return fb_fail(w->err, FB_SYSTEM, "cannot read %s: %s", w->name, w->reader.why);
    if (is_first)
        w->next_seq = first_seq;
    bool is_guessed = false;
    if (read == FB_READ_DAMAGED) {
        note_damage(w);
        is_guessed = fb_reader_guess(&w->reader, w->name);
        if (!is_guessed)
            return FB_OK;
        memcpy(w->reader.head.uuid, w->uuid, FB_UUID);
    }
    if (memcmp(w->uuid, w->reader.head.uuid, FB_UUID) != 0) {
        (void)snprintf(w->reader.why, sizeof w->reader.why, "belongs to another journal");
        w->reader.at = 0;
        note_damage(w);
        return FB_OK;
    }
    if (!is_first && w->reader.head.follows + 1 < w->next_seq && w->why[0] == '\0') {
        (void)snprintf(w->reader.why, sizeof w->reader.why, "begins again what the segment before it has");
        note_damage(w);
    }
    /* Records that the database had, and this journal never, are no gap. */
    fb_status status = is_first && !is_guessed ? FB_OK : close_gap(w, w->reader.head.follows + 1, "nothing holds them");
    if (w->reader.head.first_seq > w->next_seq)
        w->next_seq = w->reader.head.first_seq;
    if (status == FB_OK)
        status = TELL(w, segment, w->name, &w->reader);
    if (status == FB_OK)
        status = walk_groups(w, &is_torn);
    return status == FB_OK ? TELL(w, end, &w->reader, is_torn) : status;
}

fb_status fb_survey(struct fb_files *files, const struct fb_survey *walk, fb_err *reterr) {
    struct walker w = {.walk = walk, .files = files, .err = reterr};
    struct fb_listing list;
    fb_status status = fb_list_segments(files, &list, reterr);
    find_uuid(&w, &list);
    for (size_t i = 0; i < list.n && status == FB_OK; i++) {
        fb_segment_name(list.seqs[i], w.name);
        status = walk_segment(&w, i == 0, list.seqs[i], i + 1 < list.n ? list.seqs[i + 1] : 0);
        fb_reader_close(&w.reader);
    }
    w.is_end = true;
    if (status == FB_OK && w.why[0] != '\0')
        status = close_gap(&w, w.next_seq, "");
    fb_mem_free(list.seqs);
    return status;
}
