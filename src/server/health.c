/* What is known of each source, and asking those of which nothing is. */
#include "server/health.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum { AGE_GRAIN_MS = 2 }; /* ages are whole milliseconds: nearer failures are the same one */

struct health_source {
    struct fb_health *health;
    const fb_source *source;
    unsigned keyspace;      /* one of it, to ask through */
    bool is_up, is_asking;
    bool was_up;            /* as the log has it; of the thread that ticks */
    bool was_stopped, was_late, was_broken, was_owner; /* the same, of write-behind */
    uint64_t dead, went_back;
    fb_instant known;       /* when the source was last heard of */
    uint64_t good;          /* round trips that came through, as counted then */
    fb_instant failed;      /* the last failure then known */
    char why[FB_ERR_TEXT_MAX];
};

/* Counted: a query of ours that is under way holds a reference. */
struct fb_health {
    _Atomic unsigned refs;
    struct fb_lock lock;    /* covers what changes in the sources */
    struct fb_cond answered;
    bool was_sharing, was_proved; /* as the log has it; of the thread that ticks */
    unsigned n;
    struct health_source sources[FB_SOURCES_MAX];
};

static void unref(struct fb_health *health) {
    if (atomic_fetch_sub_explicit(&health->refs, 1, memory_order_acq_rel) != 1)
        return;
    fb_cond_finish(&health->answered);
    fb_lock_finish(&health->lock);
    fb_mem_free(health);
}

static struct health_source *source_named(struct fb_health *health, const fb_source *source) {
    for (unsigned i = 0; i < health->n; i++)
        if (health->sources[i].source == source)
            return &health->sources[i];
    return NULL;
}

fb_status fb_health_init(struct fb_server *server) {
    struct fb_health *health = server->health = fb_mem_calloc(1, sizeof *health);
    if (health == NULL)
        return FB_NOMEM;
    atomic_init(&health->refs, 1);
    fb_lock_init(&health->lock, FB_LOCK_LOOP);
    fb_cond_init(&health->answered);
    health->was_sharing = true;
    for (unsigned i = 0; i < fb_keyspace_count(server->cache); i++) {
        const fb_keyspace_options *keyspace = fb_keyspace_at(server->cache, i);
        struct health_source *s = keyspace->source != NULL ? source_named(health, keyspace->source) : NULL;
        if (s == NULL && keyspace->source != NULL && health->n < FB_SOURCES_MAX) {
            fb_behind_stats behind;
            bool is_owner = fb_behind_stats_get(keyspace->source, &behind) == FB_OK && strcmp(behind.state, "owner") == 0;
            s = &health->sources[health->n++];
            *s = (struct health_source){.health = health, .source = keyspace->source, .keyspace = i, .is_up = true,
                                        .was_up = true, .was_owner = is_owner};
        } else if (s != NULL && keyspace->table != NULL && fb_keyspace_at(server->cache, s->keyspace)->table == NULL) {
            s->keyspace = i; /* one that can be asked */
        }
    }
    return FB_OK;
}

void fb_health_free(struct fb_server *server) {
    if (server->health != NULL)
        unref(server->health);
}

/* ---- the outcomes of others ------------------------------------------------------------------------------------- */

/* A source that refuses a statement has been reached. */
static bool is_out_of_reach(fb_status status) { return status == FB_DOWN || status == FB_TIMEOUT; }

static void note(struct health_source *s, fb_status status, const char *text, fb_instant now) {
    s->known = now;
    s->is_up = !is_out_of_reach(status);
    snprintf(s->why, sizeof s->why, "%s", s->is_up ? "" : text);
}

static void look_at(struct fb_server *server, struct health_source *s) {
    fb_source_stats stats = {0};
    fb_err err = {0};
    int64_t age_ms = 0;
    fb_source_stats_get(s->source, &stats);
    bool has_error = fb_keyspace_last_error(server->cache, s->keyspace, &err, &age_ms) == FB_OK;
    uint64_t trips = stats.read_trips + stats.write_trips, good = trips > stats.errors ? trips - stats.errors : 0;
    fb_instant now = fb_clock_now(), failed = {now.ns - fb_ms(age_ms).ns};
    fb_lock_acquire(&s->health->lock);
    if (good > s->good) /* some came through, whatever happened to others */
        note(s, FB_OK, "", now);
    else if (has_error && fb_since(failed, s->failed).ns > fb_ms(AGE_GRAIN_MS).ns)
        note(s, err.status, err.text, now);
    if (has_error)
        s->failed = failed;
    s->good = good;
    fb_lock_release(&s->health->lock);
}

unsigned fb_health_look(struct fb_server *server, struct fb_source_state ret_states[FB_SOURCES_MAX]) {
    struct fb_health *health = server->health;
    for (unsigned i = 0; i < health->n; i++) {
        struct health_source *s = &health->sources[i];
        look_at(server, s);
        fb_lock_acquire(&health->lock);
        ret_states[i] = (struct fb_source_state){.source = s->source, .name = fb_source_name(s->source),
                                                 .is_up = s->is_up};
        memcpy(ret_states[i].why, s->why, sizeof s->why);
        fb_lock_release(&health->lock);
    }
    return health->n;
}

static void tick_sharing(struct fb_server *server) {
    struct fb_health *health = server->health;
    fb_sharing_stats stats;
    fb_sharing_stats_get(server->cache, &stats);
    if (!stats.is_shared)
        return;
    if (!stats.is_up && health->was_sharing)
        fb_server_log(server, FB_LOG_SHARING_DOWN, "the shared store does not answer",
                      FB_LOG_FIELDS({"store", stats.where}, {"error", stats.last_error}));
    else if (stats.is_up && !health->was_sharing)
        fb_server_log(server, FB_LOG_SHARING_UP, "the shared store answers again",
                      FB_LOG_FIELDS({"store", stats.where}));
    if (!stats.is_proved && health->was_proved)
        fb_server_log(server, FB_LOG_SHARING_UNPROVED, "the shared store does not tell of changes: no copies serve",
                      FB_LOG_FIELDS({"store", stats.where}));
    else if (stats.is_proved && !health->was_proved)
        fb_server_log(server, FB_LOG_SHARING_PROVED, "the shared store tells of changes: copies serve",
                      FB_LOG_FIELDS({"store", stats.where}));
    health->was_sharing = stats.is_up;
    health->was_proved = stats.is_proved;
}

/* What waits to be flushed, and why it does not come to it. */
static void tick_behind(struct fb_server *server, struct health_source *s) {
    char oldest[24], writes[24], letters[24];
    const char *name = fb_source_name(s->source);
    fb_behind_stats stats;
    if (fb_behind_stats_get(s->source, &stats) != FB_OK)
        return;
    snprintf(oldest, sizeof oldest, "%llu", (unsigned long long)stats.oldest_ms);
    snprintf(writes, sizeof writes, "%llu", (unsigned long long)stats.pending_writes);
    snprintf(letters, sizeof letters, "%llu", (unsigned long long)(stats.dead - s->dead));
    bool is_broken = strcmp(stats.state, "broken") == 0;
    if (is_broken && !s->was_broken) {
        fb_server_log(server, FB_LOG_BEHIND_BROKEN, "the journal has failed: no more writes are taken",
                      FB_LOG_FIELDS({"source", name}, {"error", stats.trouble.text}));
        if (server->options.hooks.journal_failed != NULL)
            server->options.hooks.journal_failed(server->options.hooks.user);
    }
    bool is_lost = strcmp(stats.state, "fenced") == 0 || strcmp(stats.state, "elsewhere") == 0;
    if (is_lost && s->was_owner)
        fb_server_log(server, FB_LOG_BEHIND_LOST, "another process has taken the source; see FB.DEAD LIST for what was pending",
                      FB_LOG_FIELDS({"source", name}, {"error", stats.trouble.text}));
    s->was_owner = strcmp(stats.state, "owner") == 0;
    if (stats.is_stopped && !s->was_stopped)
        fb_server_log(server, FB_LOG_BEHIND_STOPPED, "the database refuses what was written behind; everything is kept",
                      FB_LOG_FIELDS({"source", name}, {"error", stats.trouble.text}));
    if (stats.is_late && !s->was_late)
        fb_server_log(server, FB_LOG_BEHIND_LAG, "what was written behind waits for long",
                      FB_LOG_FIELDS({"source", name}, {"oldest_ms", oldest}, {"writes", writes}));
    if ((s->was_stopped || s->was_late) && !stats.is_stopped && !stats.is_late)
        fb_server_log(server, FB_LOG_BEHIND_BACK, "what was written behind reaches the database again",
                      FB_LOG_FIELDS({"source", name}));
    if (stats.went_back > s->went_back)
        fb_server_log(server, FB_LOG_BEHIND_AGAIN, "the database has lost commits; what it had is flushed again from the journal",
                      FB_LOG_FIELDS({"source", name}));
    if (stats.dead > s->dead)
        fb_server_log(server, FB_LOG_BEHIND_DEAD, "the database refused acknowledged writes; see FB.DEAD LIST",
                      FB_LOG_FIELDS({"source", name}, {"letters", letters}));
    s->was_broken = is_broken;
    s->was_stopped = stats.is_stopped;
    s->was_late = stats.is_late;
    s->dead = stats.dead;
    s->went_back = stats.went_back;
}

void fb_health_tick(struct fb_server *server) {
    struct fb_health *health = server->health;
    tick_sharing(server);
    for (unsigned i = 0; i < health->n; i++) {
        struct health_source *s = &health->sources[i];
        char why[FB_ERR_TEXT_MAX];
        tick_behind(server, s);
        look_at(server, s);
        fb_lock_acquire(&health->lock);
        bool is_up = s->is_up;
        memcpy(why, s->why, sizeof why);
        fb_lock_release(&health->lock);
        if (is_up == s->was_up)
            continue;
        s->was_up = is_up;
        if (is_up)
            fb_server_log(server, FB_LOG_SOURCE_UP, "a source answers again",
                          FB_LOG_FIELDS({"source", fb_source_name(s->source)}));
        else
            fb_server_log(server, FB_LOG_SOURCE_DOWN, "a source does not answer",
                          FB_LOG_FIELDS({"source", fb_source_name(s->source)}, {"error", why}));
    }
}

/* ---- asking ourselves ------------------------------------------------------------------------------------------- */

static void end_asking(struct health_source *s, const fb_result *result) {
    struct fb_health *health = s->health;
    fb_instant now = fb_clock_now();
    fb_lock_acquire(&health->lock);
    s->is_asking = false;
    /* It cannot be asked, or is too busy to be: the outcomes of others must do. When nobody has tried for a while, as
     * happens when being not ready keeps them away, the next who comes may find out. */
    if (result->status == FB_UNSUPPORTED || result->status == FB_BUSY)
        s->is_up |= fb_since(now, s->known).ns >= fb_ms(FB_FORGIVEN_MS).ns;
    else
        note(s, result->status, result->err.text, now);
    fb_cond_broadcast(&health->answered);
    fb_lock_release(&health->lock);
    unref(health);
}

static void on_answer(void *user, const fb_result *result) { end_asking(user, result); }

static bool may_ask(struct health_source *s, fb_instant now) {
    fb_lock_acquire(&s->health->lock);
    bool is_fresh = s->known.ns != 0 && fb_since(now, s->known).ns < fb_ms(FB_PROBE_INTERVAL_MS).ns;
    bool may = !s->is_asking && (!is_fresh || !s->is_up);
    s->is_asking |= may;
    fb_lock_release(&s->health->lock);
    return may;
}

static bool is_asking(const struct fb_health *health) {
    bool is = false;
    for (unsigned i = 0; i < health->n; i++)
        is |= health->sources[i].is_asking;
    return is;
}

void fb_health_probe(struct fb_server *server) {
    struct fb_health *health = server->health;
    fb_instant now = fb_clock_now(), until = fb_after(now, fb_ms(FB_PROBE_WAIT_MS));
    for (unsigned i = 0; i < health->n; i++) {
        struct health_source *s = &health->sources[i];
        fb_result result;
        look_at(server, s);
        if (!may_ask(s, now))
            continue;
        atomic_fetch_add_explicit(&health->refs, 1, memory_order_relaxed);
        if (fb_list_keys(server->cache, s->keyspace, 1, on_answer, s, &result) == FB_PENDING)
            continue;
        end_asking(s, &result);
        fb_result_release(&result);
    }
    fb_lock_acquire(&health->lock);
    while (is_asking(health) && !fb_reached(fb_clock_now(), until))
        fb_cond_wait_until(&health->answered, &health->lock, until);
    fb_lock_release(&health->lock);
}

/* ---- readiness -------------------------------------------------------------------------------------------------- */

static void add_check(fb_buf *out, const char *name, const char *detail, const char *why) {
    char line[FB_ERR_TEXT_MAX + 200];
    bool is_ok = why == NULL;
    int n = snprintf(line, sizeof line, "[%c]%s%.100s %s%.300s\n", is_ok ? '+' : '-', name, detail,
                     is_ok ? "ok" : "failed: ", is_ok ? "" : why);
    for (int i = 0; i < n - 1; i++) /* texts of a database stay in their line */
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    (void)fb_buf_append(out, line, (size_t)n);
}

/* Why it is asked so rarely. */
static void note_breaker(struct fb_source_state *state) {
    fb_source_stats stats = {0};
    size_t len = strlen(state->why);
    fb_source_stats_get(state->source, &stats);
    if (!state->is_up && stats.breaker != 0)
        snprintf(state->why + len, sizeof state->why - len, " (breaker open, retry in %llu.%llus)",
                 (unsigned long long)(stats.retry_ms / 1000), (unsigned long long)(stats.retry_ms % 1000 / 100));
}

/* Do all its keyspaces have something to serve while it is down? Then clients are better off here than turned away. */
static bool serves_stale(struct fb_server *server, const fb_source *source) {
    bool does = false;
    for (unsigned i = 0; i < fb_keyspace_count(server->cache); i++) {
        const fb_keyspace_options *keyspace = fb_keyspace_at(server->cache, i);
        if (keyspace->source != source)
            continue;
        if (keyspace->policy.grace_ms == 0 && keyspace->policy.grace_down_ms == 0)
            return false;
        does = true;
    }
    return does;
}

/* What is written behind must come to the database, in time. */
static bool check_behind(const fb_source *source, fb_buf *ret_text) {
    fb_behind_stats stats;
    char why[FB_ERR_TEXT_MAX + 120];
    if (fb_behind_stats_get(source, &stats) != FB_OK)
        return true;
    bool is_well = !stats.is_stopped && !stats.is_late &&
                   (strcmp(stats.state, "owner") == 0 || strcmp(stats.state, "elsewhere") == 0);
    snprintf(why, sizeof why, "%s, %llu writes pending, the oldest for %llums%s%s", stats.is_stopped ? "stopped" : stats.state,
             (unsigned long long)stats.pending_writes, (unsigned long long)stats.oldest_ms,
             stats.trouble.text[0] != '\0' ? ": " : "", stats.trouble.text);
    add_check(ret_text, "write-behind/", fb_source_name(source), is_well ? NULL : why);
    return is_well;
}

bool fb_server_is_ready(struct fb_server *server, fb_buf *ret_text) {
    struct fb_source_state *states = fb_mem_calloc(FB_SOURCES_MAX, sizeof *states);
    char name[128];
    bool is_draining = atomic_load(&server->is_draining), is_ready = states != NULL && !is_draining;
    if (is_ready)
        fb_health_probe(server);
    unsigned n = states != NULL ? fb_health_look(server, states) : 0;
    add_check(ret_text, "server", "", is_draining ? "stopping" : NULL);
    for (unsigned i = 0; i < n; i++) {
        bool has_grace = !states[i].is_up && serves_stale(server, states[i].source);
        is_ready &= states[i].is_up || has_grace;
        note_breaker(&states[i]);
        snprintf(name, sizeof name, "%.60s%s", states[i].name, has_grace ? " (down, expired values are served)" : "");
        add_check(ret_text, "source/", name, states[i].is_up || has_grace ? NULL : states[i].why);
        is_ready &= check_behind(states[i].source, ret_text);
    }
    fb_mem_free(states);
    return is_ready;
}
