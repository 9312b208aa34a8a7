/* Everything readable of a damaged journal, in a new one. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "journal/copy.h"
#include "journal/survey.h"

struct salvage {
    struct fb_copy copy;
    struct fb_segment_head head; /* of the segment that is read */
    uint64_t last_seq;           /* copied */
    bool has_copied;
    fb_status (*gap)(void *user, const struct fb_survey_gap *gap);
    void *user;
    struct fb_salvage done;
    fb_err *err;
};

static fb_status check(struct salvage *s, int r) {
    return r == 0 ? FB_OK
                  : fb_fail(s->err, r == -ENOMEM ? FB_NOMEM : FB_SYSTEM, "cannot write the copy: %s", strerror(-r));
}

static fb_status end_segment(struct salvage *s) {
    if (s->copy.handle < 0)
        return FB_OK;
    char name[FB_SEGMENT_NAME];
    fb_segment_name(s->copy.head.first_seq, name);
    fb_status status = check(s, fb_copy_end(&s->copy, name));
    fb_copy_finish(&s->copy);
    s->done.segments++;
    return status;
}

static fb_status put(struct salvage *s, uint64_t first_seq, uint32_t count, fb_bytes records) {
    fb_status status = FB_OK;
    if (s->copy.handle >= 0 && first_seq != s->copy.next_seq)
        status = end_segment(s); /* inside a segment there are no holes */
    if (status == FB_OK && s->copy.handle < 0) {
        struct fb_segment_head head = s->head;
        head.first_seq = first_seq;
        head.follows = s->has_copied ? s->last_seq : s->head.first_seq == first_seq ? s->head.follows : first_seq - 1;
        status = check(s, fb_copy_begin(&s->copy, &head));
    }
    if (status == FB_OK)
        status = check(s, fb_copy_group(&s->copy, first_seq, count, records));
    s->last_seq = first_seq + count - 1;
    s->has_copied = true;
    s->done.records += count;
    return status;
}

static fb_status on_segment(void *user, const char *name, const struct fb_reader *reader) {
    struct salvage *s = user;
    fb_status status = end_segment(s);
    (void)name;
    s->head = reader->head;
    return status;
}

static fb_status on_group(void *user, const struct fb_reader *reader) {
    return reader->group.kind == FB_GROUP_MARK
               ? FB_OK
               : put(user, reader->group.first_seq, reader->group.count, reader->records);
}

static fb_status on_units(void *user, uint64_t first_seq, uint32_t count, fb_bytes records) {
    return put(user, first_seq, count, records);
}

static fb_status on_gap(void *user, const struct fb_survey_gap *gap) {
    struct salvage *s = user;
    s->done.gaps++;
    return s->gap(s->user, gap);
}

fb_status fb_salvage(struct fb_files *from, struct fb_files *to,
                     fb_status (*gap)(void *user, const struct fb_survey_gap *gap), void *user,
                     struct fb_salvage *ret_salvage, fb_err *reterr) {
    struct salvage s = {.copy = {.files = to, .handle = -1}, .gap = gap, .user = user, .err = reterr};
    struct fb_survey walk = {.user = &s, .segment = on_segment, .group = on_group, .units = on_units, .gap = on_gap};
    struct fb_listing there;
    fb_status status = fb_list_segments(to, &there, reterr);
    if (status == FB_OK && there.n > 0)
        status = fb_fail(reterr, FB_INVALID, "the directory for the copy has segments in it");
    fb_mem_free(there.seqs);
    if (status == FB_OK)
        status = fb_survey(from, &walk, reterr);
    if (status == FB_OK)
        status = end_segment(&s);
    fb_copy_finish(&s.copy);
    if (status == FB_OK)
        *ret_salvage = s.done;
    return status;
}
