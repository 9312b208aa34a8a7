/* One expansion of a state, shared by the files that say what may follow it. */
#ifndef FB_TESTS_MODEL_STEP_H
#define FB_TESTS_MODEL_STEP_H

#include "model.h"

enum late { LATE_MISS = 1, LATE_FILL, LATE_BEGIN, LATE_END, LATE_END_DEL };

/* The state we are in, and the one being built. */
struct step {
    const struct config *c;
    const struct state *from;
    struct state to;
    found_fn *found;
    void *arg;
    const char *violation;
};

/* Is this part of the protocol there? */
static inline bool step_has(const struct config *c, uint32_t part) { return (c->without & part) == 0; }

void step_start(struct step *s);
void step_emit(struct step *s, const char *what, int who);
/* The step as it is, and once more with a copy of its command that arrives later. */
void step_emit_sent(struct step *s, const char *what, int who, enum late kind, uint8_t val);

/* redis.c: what the scripts and plain commands do. */
int redis_miss(struct step *s, int reader, bool is_refresh); /* enum fb_coord_answer */
bool redis_fill(struct step *s, int reader, uint8_t version);
void redis_begin(struct step *s, int writer);
void redis_end(struct step *s, int writer, uint8_t version, bool puts);
void redis_inval(struct step *s, bool hold);
void redis_put(struct step *s, uint8_t version, uint32_t drop_other);
void redis_drop(struct step *s);

void reader_steps(struct step *s, int i);
void writer_steps(struct step *s, int i);
void flusher_steps(struct step *s);

/* l1.c: the other world. */
void l1_steps(struct step *s);
const char *l1_at_rest(const struct state *s);

#endif
