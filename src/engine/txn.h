/* Transactions: one or several keys that are written together, and what is read and checked with them.
 *
 * The keys are begun one after another in one fixed order (by hash, then bytes), so that two transactions with common
 * keys cannot wait for each other. When all are granted the group goes to the source; afterwards each key is ended with
 * what the source says is there now. Keys that are only read or checked are not begun: the source's transaction sees
 * them as they are, and nothing of them is kept.
 *
 * txn_new.c makes one, txn.c brings it to its source, txn_end.c ends its keys and answers. */
#ifndef FB_ENGINE_TXN_H
#define FB_ENGINE_TXN_H

#include "engine/behind.h"
#include "engine/engine.h"
#include "engine/tier.h"

#define FB_TXN_NONE SIZE_MAX

struct fb_txn_op {
    fb_op_kind kind;
    unsigned flags;
    uint64_t origin;
    size_t item;            /* of the group, or FB_TXN_NONE: ignored */
};

struct fb_txn_item {
    struct fb_keyspace *keyspace;
    uint64_t hash;          /* of its key */
    size_t op;
    size_t next;            /* the next write of the same key, or FB_TXN_NONE */
    uint32_t cap_ms;        /* life given with this write */
    bool keeps_life;        /* or what the key had before it */
};

struct fb_txn_key {
    struct fb_engine_writer writer;
    struct fb_keyspace *keyspace;
    uint64_t hash;
    fb_bytes key;
    size_t first_item, last_item; /* its writes in the group; the answer to the last is the state of the key */
    bool is_read;           /* written behind, and only read or checked: marked as well, because nobody else says what is there */
    bool keeps_life;        /* one of them does: */
    uint32_t left_ms;       /* what is left of the life that EXPIRE gave before */
};

struct fb_txn {
    struct fb_cache *cache;
    struct fb_source *source;
    fb_done_all done;
    void *user;
    enum fb_run run;
    fb_instant begun, deadline;
    struct fb_store_group group;
    struct fb_txn_op *ops;
    size_t nops;
    struct fb_txn_item *items; /* beside those of the group */
    fb_result *results;     /* of the operations */
    struct fb_txn_key *keys;   /* written; sorted */
    size_t nkeys;
    size_t granted;         /* keys[0 .. granted−1] are marked */
    struct fb_holds holds;  /* what depends on the rows */
    struct fb_behind_way way; /* into the journal; way.behind == NULL: written to the source */
    bool is_through;        /* written behind as a rule, but this once to the source */
    struct fb_marks marks;  /* at the shared second level; one for each key. items == NULL: none were made */
    fb_instant sent, answered;
    struct fb_effects held; /* of taking them, to be carried out when the source is done */
};

void fb_txn_free(struct fb_txn *txn);
/* The source has answered, or was not asked: end what was begun, answer, free. */
void fb_txn_conclude(struct fb_txn *txn, fb_instant sent, fb_instant answered);

#endif
