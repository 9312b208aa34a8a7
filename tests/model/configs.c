/* What is searched, and what must come out: the protocol holds, and without any of its parts something breaks. */
#include "model.h"

#define WW BEGIN_END, BEGIN_END
#define TWO .readers = 2, .writers = 2
#define HOLDS .is_violated = false
#define VIOLATED .is_violated = true
#define BARE(kind) .reading = PLAIN, .writing = {kind, kind}
#define L1 .readers = 3, .writers = 3, .has_l1 = true
#define FACEBOOK .writing = {COMMIT_DEL, COMMIT_DEL}

const struct config configs[] = {
    /* ---- what people do without it ---- */
    {"A", "plain cache-aside is linearizable", ATOMIC, VIOLATED, TWO, BARE(COMMIT_DEL)},
    {"A2", "plain cache-aside leaves nothing stale", REST, VIOLATED, TWO, BARE(COMMIT_DEL)},
    {"B", "commit, then SET leaves nothing stale", REST, VIOLATED, TWO, BARE(COMMIT_SET)},
    {"C1", "leases, and DEL after the commit: linearizable", ATOMIC, VIOLATED, TWO, FACEBOOK},
    {"C2", "leases, and DEL after the commit: regular", REGULAR | REST, HOLDS, TWO, FACEBOOK},
    {"C3", "the same with a writer that dies: regular, nothing stays stale", REGULAR | REST, VIOLATED, TWO, FACEBOOK,
     .crashes = 1},
    {"D", "leases, and SET after the commit: regular, nothing stays stale", REGULAR | REST, VIOLATED, TWO,
     .writing = {COMMIT_SET, COMMIT_SET}},
    {"E", "marks without the contended flag: regular, nothing stays stale", REGULAR | REST, VIOLATED, TWO,
     .writing = {WW}, .without = CONTENDED},

    /* ---- the protocol ---- */
    {"F1", "two readers, a writer, crashes", ATOMIC | REST, HOLDS, .readers = 2, .writers = 1, .writing = {BEGIN_END},
     .crashes = 1, .aborts = true},
    {"F2", "two readers, two writers, two crashes, refused writes", ATOMIC | REST, HOLDS, TWO, .writing = {WW},
     .crashes = 2, .aborts = true},
    {"F3", "three readers, two writers, a crash", ATOMIC | REST, HOLDS, .readers = 3, .writers = 2, .writing = {WW},
     .crashes = 1},
    {"F4", "two readers, three writers, two crashes", ATOMIC | REST, HOLDS, .readers = 2, .writers = 3,
     .writing = {WW, BEGIN_END}, .crashes = 2},
    {"F5", "rows that come and go: negative entries", ATOMIC | REST, HOLDS, TWO, .writing = {WW}, .absent = 1 | 4,
     .crashes = 1},
    {"F6", "followers of a load", ATOMIC | REST, HOLDS, .readers = 3, .writers = 2, .writing = {WW},
     .followers = true},
    {"F7", "refresh-ahead", ATOMIC | REST, HOLDS, .readers = 3, .writers = 2, .writing = {WW}, .refreshers = 1,
     .crashes = 1, .absent = 2},
    {"F8", "commands that arrive a second time, late", ATOMIC | REST, HOLDS, TWO, .writing = {WW}, .once = true,
     .duplicates = 2},
    {"F9", "write-around beside write-through", ATOMIC | REST, HOLDS, TWO, .writing = {BEGIN_END, BEGIN_END_DEL},
     .crashes = 1},
    {"F10", "three readers, three writers, two crashes", ATOMIC | REST, HOLDS, .readers = 3, .writers = 3,
     .writing = {WW, BEGIN_END}, .crashes = 2, .is_large = true},
    {"F11", "three readers, two writers, late duplicates, a crash", ATOMIC | REST, HOLDS, .readers = 3, .writers = 2,
     .writing = {WW}, .once = true, .duplicates = 2, .crashes = 1, .is_large = true},
    {"F12", "four readers, two writers, refresh-ahead, negative entries", ATOMIC | REST, HOLDS, .readers = 4,
     .writers = 2, .writing = {WW}, .refreshers = 1, .absent = 2, .crashes = 1, .is_large = true},

    /* ---- the old value serves during a write ---- */
    {"G1", "serve_old is linearizable", ATOMIC, VIOLATED, TWO, .writing = {WW}, .keeps_old = true},
    {"G2", "serve_old is regular", REGULAR | REST, HOLDS, TWO, .writing = {WW}, .keeps_old = true},
    {"G3", "serve_old is regular with writers that die", REGULAR | REST, HOLDS, TWO, .writing = {WW},
     .keeps_old = true, .crashes = 2, .absent = 2},

    /* ---- the coordination key is lost, FLUSHALL ---- */
    {"H1", "coordination key lost: linearizable", ATOMIC, VIOLATED, TWO, .writing = {WW}, .losses = 1},
    {"H2", "coordination key lost: regular, nothing stays stale", REGULAR | REST, HOLDS, TWO, .writing = {WW},
     .losses = 2, .aborts = true},
    {"H3", "coordination key lost and its writer dead: regular, nothing stays stale", REGULAR | REST, VIOLATED, TWO,
     .writing = {WW}, .losses = 1, .crashes = 1},
    {"H4", "coordination key lost, three readers, three writers: regular", REGULAR | REST, HOLDS, .readers = 3,
     .writers = 3, .writing = {WW, BEGIN_END}, .losses = 2, .is_large = true},

    /* ---- failover to an older state ---- */
    {"I2", "failover, writers re-assert: nothing stays stale", REST, HOLDS, TWO, .writing = {WW}, .once = true,
     .failovers = 1},
    {"I3", "failover without re-assertion", REST, VIOLATED, TWO, .writing = {WW}, .once = true, .failovers = 1,
     .without = REASSERT},
    {"I4", "failover, re-asserted, fills and ends not tied to their connection", REST, HOLDS, TWO, .writing = {WW},
     .once = true, .failovers = 1, .without = PINNED},
    {"I5", "failover, re-asserted, a writer dies", REST, VIOLATED, TWO, .writing = {WW}, .once = true,
     .failovers = 1, .crashes = 1},
    {"I6", "failover, re-asserted, three readers", REST, HOLDS, .readers = 3, .writers = 2, .writing = {WW},
     .once = true, .failovers = 1, .is_large = true},
    {"J1", "restart from an old snapshot, older copies distrusted", REST, HOLDS, TWO, .writing = {WW}, .once = true,
     .failovers = 1, .distrust = true},
    {"J2", "the same, fills and ends not tied to their connection", REST, VIOLATED, TWO, .writing = {WW},
     .once = true, .failovers = 1, .distrust = true, .without = PINNED},
    {"J3", "the same as J1, and a writer dies whose mark is lost", REST, VIOLATED, TWO, .writing = {WW},
     .once = true, .failovers = 1, .distrust = true, .crashes = 1},

    /* ---- writes behind our back, told by a change feed ---- */
    {"K1", "events after their commits", REST | REGULAR, HOLDS, TWO, .writing = {COMMIT_EVENT, COMMIT_EVENT}},
    {"K2", "events before their commits can be seen", REST, VIOLATED, TWO, .writing = {EVENT_COMMIT, EVENT_COMMIT}},
    {"K3", "the same with a hold", REST, HOLDS, TWO, .writing = {EVENT_COMMIT, EVENT_COMMIT}, .hold = true},
    {"K4", "events beside a write through Forebay", REST, HOLDS, TWO, .writing = {BEGIN_END, COMMIT_EVENT}},

    /* ---- write-behind: the owner's map of what is not flushed ---- */
    {"L1", "the map is asked before the database", ATOMIC | REST, HOLDS, TWO, .writing = {JOURNAL, JOURNAL}},
    {"L2", "the database is asked before the map", ATOMIC | REST, VIOLATED, TWO, .writing = {JOURNAL, JOURNAL},
     .without = DIRTY_FIRST},
    {"L3", "an entry leaves the map before its commit", ATOMIC | REST, VIOLATED, TWO, .writing = {JOURNAL, JOURNAL},
     .without = DIRTY_UNTIL_COMMIT},
    {"L4", "the map, three readers, refresh-ahead, a crash", ATOMIC | REST, HOLDS, .readers = 3, .writers = 2,
     .writing = {JOURNAL, JOURNAL}, .refreshers = 1, .crashes = 1, .is_large = true},

    /* ---- commits in doubt ---- */
    {"M1", "decided before the mark expires", ATOMIC | REST, HOLDS, TWO, .writing = {WW}, .doubts = true,
     .crashes = 1},
    {"M2", "decided after the mark has expired", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .doubts = true,
     .crashes = 1, .without = MARK_OUTLIVES_COMMIT},

    /* ---- the first level of one process ---- */
    {"N1", "sequence numbers: monotonic, nothing stays stale", ATOMIC | REST, HOLDS, L1, .losses = 1},
    {"N2", "insert whatever comes", ATOMIC | REST, VIOLATED, L1, .without = L1_COMPARES},
    {"N3", "an insert does not bump", ATOMIC | REST, VIOLATED, L1, .without = L1_INSERT_BUMPS},
    {"N4", "a refused reply leaves the entry", ATOMIC | REST, VIOLATED, L1, .without = L1_REFUSAL_REMOVES},
    {"N5", "a write here leaves the entry until it is told", ATOMIC | REST, VIOLATED, L1, .without = L1_WRITE_REMOVES},
    {"N6", "a new tracking connection finds the old entries", ATOMIC | REST, VIOLATED, L1, .losses = 1,
     .without = L1_STARTS_EMPTY},

    /* ---- each part left out ---- */
    {"X1", "BEGIN leaves the negative entry", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .absent = 1,
     .without = BEGIN_HIDES_NEGATIVE},
    {"X2", "BEGIN leaves the lease", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .crashes = 1,
     .without = BEGIN_REVOKES},
    {"X3", "MISS gives leases during writes", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .crashes = 1,
     .without = MISS_SEES_MARKS},
    {"X4", "FILL does not want a lease", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .without = FILL_NEEDS_LEASE},
    {"X5", "FILL takes anybody's lease", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .without = FILL_COMPARES},
    {"X6", "END puts its value although its mark is gone", REGULAR | REST, VIOLATED, TWO, .writing = {WW},
     .losses = 1, .without = END_NEEDS_MARK},
    {"X7", "the same for commands that arrive twice", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .once = true,
     .duplicates = 1, .without = END_NEEDS_MARK},
    {"X20", "a command sent again still puts its value", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .once = true,
     .duplicates = 2, .without = RESENT_ONLY_DELETES},
    {"X21", "MISS is sent again under the same token", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .once = true,
     .duplicates = 1, .without = FRESH_TOKENS},
    {"X8", "END puts its value beside other writes", ATOMIC | REST, VIOLATED, TWO, .writing = {WW},
     .without = END_SEES_OTHERS},
    {"X9", "END leaves the lease", REGULAR | REST, VIOLATED, TWO, .writing = {WW}, .losses = 1,
     .without = END_REVOKES},
    {"X10", "END leaves the negative entry", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .losses = 1,
     .absent = 1, .without = END_DROPS_NEGATIVE},
    {"X11", "INVAL leaves the lease", REST, VIOLATED, TWO, .writing = {COMMIT_EVENT, COMMIT_EVENT},
     .without = INVAL_REVOKES},
    {"X12", "INVAL does not make writes in flight contended", REST, VIOLATED, TWO,
     .writing = {BEGIN_END, COMMIT_EVENT}, .without = INVAL_CONTENDS},
    {"X13", "FILL leaves the other kind of copy", REST, VIOLATED, TWO, .writing = {WW}, .refreshers = 1, .absent = 2,
     .losses = 1, .crashes = 1, .without = FILL_DROPS_OTHER},
    {"X14", "followers take whatever comes", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .followers = true,
     .without = FOLLOWERS_CHECK},
    {"X15", "a refresh fills without a lease", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .refreshers = 1,
     .without = REFRESH_HAS_LEASE},
    {"X16", "an early event's hold does not keep loads from filling", REST, VIOLATED, TWO, .hold = true,
     .writing = {EVENT_COMMIT, EVENT_COMMIT}, .without = HOLD_BLOCKS},
    {"X17", "DEL after the commit leaves the lease", REGULAR | REST, VIOLATED, TWO, FACEBOOK,
     .without = DELETE_REVOKES},
    {"X18", "BEGIN leaves the value", ATOMIC | REST, VIOLATED, TWO, .writing = {WW}, .without = BEGIN_HIDES},
    /* A second lock on the same door: MISS gives no lease under a mark, and BEGIN takes what was given. */
    {"X19", "FILL does not look at marks", ATOMIC | REST, HOLDS, TWO, .writing = {WW}, .crashes = 1,
     .without = FILL_SEES_MARKS},
};
const size_t configs_count = sizeof configs / sizeof configs[0];
