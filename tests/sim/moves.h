/* The moves behind world_do: each is one call of the shard with all that follows from it. */
#ifndef TESTS_SIM_MOVES_H
#define TESTS_SIM_MOVES_H

#include "world.h"

void move_start(struct world *w, enum op_kind kind, unsigned key, uint64_t arg);

/* Flights; `index` is a place in flights[]. */
void move_dispatch(struct world *w, struct world_flight *f);
void move_home(struct world *w, unsigned index, fb_status status);

/* The application hands in what its lease was for: a row it read, or an error. */
void move_fill(struct world *w, struct op *op, fb_status status);

/* Writes: the database takes it, the shard is told how it ended. */
/* OP_MOVE: hold the lists the row is in and will be in. */
void move_hold(struct world *w, struct op *op);
void move_commit(struct world *w, struct op *op);
void move_end(struct world *w, struct op *op, enum fb_write_end how);
enum fb_write_end move_end_of(const struct op *op);
void move_cancel(struct world *w, struct op *op);
/* Who may join a write that has been made: the next in the queue, when it is a plain write as well; else NULL. */
struct op *move_next(const struct op *op);
void move_join(struct world *w, struct op *op);

/* Something was told of a key, and what is the least that may be kept from here on. */
void move_tell(struct world *w, unsigned key, unsigned floor);
fb_shard_observer move_observe;

void move_invalidate(struct world *w, unsigned key);
void move_tick(struct world *w);

#endif
