/* The command table as rows, an index of names, and what is checked before a handler runs. */
#include "server/commands.h"

#include "server/acl.h"
#include "server/gates.h"
#include "server/multi.h"
#include "server/measure.h"
#include "server/login.h"
#include "server/pass.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    NAME_WORDS = 3,           /* names have up to 24 bytes */
    INDEX_SIZE = 1024,        /* a power of two, about four times the number of names */
    SHOWN_ARGS_MAX = 128,     /* bytes of arguments in "unknown command", as in Redis */
};

static const struct fb_command commands[] = {
#define ROW(name, handler, arity, flags, first, last, step, group, since, syntax, summary)                             \
    {name, NULL, fb_cmd_##handler, arity, flags, first, last, step, group, since, syntax, summary},
    FB_COMMAND_MAP(ROW)
#undef ROW
/* The key of a subcommand that reads one stands behind both words. */
#define KEY_AT(flags) (((flags) & FB_CMD_READ) ? 2 : 0)
#define ROW(parent, name, handler, arity, flags, since, syntax, summary)                                               \
    {name, parent, fb_cmd_##handler, arity, flags, KEY_AT(flags), KEY_AT(flags), KEY_AT(flags) / 2, NULL, since,       \
     syntax, summary},
    FB_SUBCOMMAND_MAP(ROW)
#undef ROW
#define ROW(name, arity, flags, first, last, step, counted, group, since)                                              \
    {name, NULL, fb_cmd_foreign, arity, (flags) | FB_CMD_FOREIGN, first, last, step, group, since, "", "", counted},
    FB_FOREIGN_MAP(ROW)
#undef ROW
    /* What no table knows, as a command of the store. */
    {"unknown", NULL, fb_cmd_foreign, -1, FB_CMD_WRITE | FB_CMD_FOREIGN, 0, 0, 0, NULL, "1.0.0", "", "", 0},
};

/* How many of them are what. */
enum {
#define ROW(...) +1
    NCOMMANDS = 0 FB_COMMAND_MAP(ROW),
    NSUBCOMMANDS = 0 FB_SUBCOMMAND_MAP(ROW),
    NFOREIGN = 0 FB_FOREIGN_MAP(ROW),
#undef ROW
    NROWS = sizeof commands / sizeof commands[0],
};
static const struct fb_command *const subcommands = commands + NCOMMANDS;
static const struct fb_command *const foreign = commands + NCOMMANDS + NSUBCOMMANDS;

enum refusal { DATA, SCRIPT, NEVER, CLUSTER };

static const struct fb_refused {
    const char *name;
    enum refusal kind;
    unsigned first;
} refused[] = {
#define ROW(name, kind, first) {name, kind, first},
    FB_REFUSED_MAP(ROW)
#undef ROW
};

static const struct {
    const char *parent, *name;
    enum refusal kind;
} refused_subcommands[] = {
#define ROW(parent, name, kind) {parent, name, kind},
    FB_REFUSED_SUBCOMMAND_MAP(ROW)
#undef ROW
};

enum {
    NREFUSED = sizeof refused / sizeof refused[0],
    NREFUSED_SUBCOMMANDS = sizeof refused_subcommands / sizeof refused_subcommands[0],
};

const struct fb_command *fb_commands(size_t *ret_count) {
    *ret_count = NCOMMANDS;
    return commands;
}

const struct fb_command *fb_subcommands(size_t *ret_count) {
    *ret_count = NSUBCOMMANDS;
    return subcommands;
}

const struct fb_command *fb_foreign(size_t *ret_count) {
    *ret_count = NFOREIGN;
    return foreign;
}

const struct fb_command *fb_command_unknown(void) { return &commands[NROWS - 1]; }

size_t fb_command_count(void) { return NROWS; }
size_t fb_command_number(const struct fb_command *command) { return (size_t)(command - commands); }

const char *fb_command_full_name(const struct fb_command *command, char out[FB_COMMAND_NAME_MAX]) {
    snprintf(out, FB_COMMAND_NAME_MAX, "%s%s%s", command->parent != NULL ? command->parent : "",
             command->parent != NULL ? "|" : "", command->name);
    return out;
}

/* ---- the index -------------------------------------------------------------------------------------------------- */

/* A name in lower case, filled up with blanks. Setting bit 5 lowers letters; what it does to other bytes is sorted
 * out by comparing those names exactly that hold others than letters. */
struct name { uint64_t words[NAME_WORDS]; };

static struct slot {
    struct name name;
    uint8_t len;
    bool has_other; /* than letters */
    const char *text;
    const struct fb_command *command; /* or one of these, or both: */
    const struct fb_refused *refused;
    const struct fb_command *foreign;
} names[INDEX_SIZE];

static struct name fold(fb_bytes text) {
    struct name name = {{0}};
    if (text.len <= sizeof name.words[0]) /* most names; copying so few bytes one by one is the quickest */
        for (size_t i = 0; i < text.len; i++)
            name.words[0] |= (uint64_t)(unsigned char)text.data[i] << (8 * i);
    else
        memcpy(&name, text.data, text.len);
    for (int i = 0; i < NAME_WORDS; i++)
        name.words[i] |= UINT64_C(0x2020202020202020);
    return name;
}

static size_t place_of(const struct name *name) {
    uint64_t h = name->words[0] ^ name->words[1] * UINT64_C(0x9e3779b97f4a7c15) ^
                 name->words[2] * UINT64_C(0xc2b2ae3d27d4eb4f);
    return (h * UINT64_C(0x9fb21c651e98df25)) >> 54; /* the top 10 bits: INDEX_SIZE */
}

static bool is_same(const struct name *a, const struct name *b) {
    return ((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1]) | (a->words[2] ^ b->words[2])) == 0;
}

static const struct slot *find(fb_bytes text) {
    static const struct slot nothing;
    if (text.len > sizeof(struct name))
        return &nothing;
    struct name name = fold(text);
    for (size_t i = place_of(&name);; i = (i + 1) % INDEX_SIZE) {
        const struct slot *slot = &names[i];
        if (slot->len == 0)
            return &nothing;
        if (slot->len == text.len && is_same(&slot->name, &name) &&
            (!slot->has_other || fb_is_word(text, slot->text)))
            return slot;
    }
}

static struct slot *add(const char *text) {
    assert(strlen(text) <= sizeof(struct name));
    struct name name = fold(FB_STR(text));
    size_t i = place_of(&name);
    while (names[i].len != 0 && strcmp(names[i].text, text) != 0)
        i = (i + 1) % INDEX_SIZE;
    names[i].name = name;
    names[i].len = (uint8_t)strlen(text);
    names[i].text = text;
    for (const char *p = text; *p != '\0'; p++)
        names[i].has_other |= *p < 'a' || *p > 'z';
    return &names[i];
}

static void build(void) {
    for (size_t i = 0; i < NCOMMANDS; i++)
        add(commands[i].name)->command = &commands[i];
    for (size_t i = 0; i < NREFUSED; i++)
        add(refused[i].name)->refused = &refused[i];
    for (size_t i = 0; i < NFOREIGN; i++)
        add(foreign[i].name)->foreign = &foreign[i];
    fb_acl_prepare();
}

void fb_commands_prepare(void) {
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, build);
}

const struct fb_command *fb_command_named(fb_bytes name) { return find(name)->command; }

static const struct fb_command *find_subcommand(const struct fb_command *parent, fb_bytes name) {
    for (size_t i = 0; i < NSUBCOMMANDS; i++)
        if (strcmp(subcommands[i].parent, parent->name) == 0 && fb_is_word(name, subcommands[i].name))
            return &subcommands[i];
    return NULL;
}

struct fb_verb fb_verb_find(const fb_bytes *argv, size_t argc) {
    const struct slot *slot = find(argv[0]);
    struct fb_verb verb = {slot->command, slot->command, slot->refused, slot->foreign};
    if (verb.command != NULL && (verb.command->flags & FB_CMD_PARENT) && argc > 1)
        verb.command = find_subcommand(verb.parent, argv[1]);
    return verb;
}

bool fb_arity_fits(const struct fb_command *command, size_t argc) {
    return command->arity >= 0 ? argc == (size_t)command->arity : argc >= (size_t)-command->arity;
}

/* ---- refusing --------------------------------------------------------------------------------------------------- */

static void refuse_unknown(struct fb_call *call) {
    char args[SHOWN_ARGS_MAX + 8];
    size_t len = 0;
    for (size_t i = 1; i < call->argc && len < SHOWN_ARGS_MAX; i++) {
        size_t room = SHOWN_ARGS_MAX - len;
        int shown = (int)(call->argv[i].len < room ? call->argv[i].len : room);
        int n = snprintf(args + len, sizeof args - len, "'%.*s' ", shown, call->argv[i].data);
        len = (size_t)n < sizeof args - len ? len + (size_t)n : sizeof args - 1;
    }
    args[len] = '\0';
    int shown = (int)(call->argv[0].len < SHOWN_ARGS_MAX ? call->argv[0].len : SHOWN_ARGS_MAX);
    fb_call_error(call, UNKNOWN_COMMAND, shown, call->argv[0].data, args);
}

static void refuse_script(struct fb_call *call, const char *name) {
    fb_call_error(call, NO_SCRIPTS, name);
}

static void refuse_absent(struct fb_call *call, const char *name) {
    fb_call_error(call, NOT_SUPPORTED, name);
}

static void refuse_subcommand(struct fb_call *call, const struct fb_command *parent) {
    for (size_t i = 0; i < NREFUSED_SUBCOMMANDS; i++) {
        if (strcmp(refused_subcommands[i].parent, parent->name) != 0 ||
            !fb_is_word(call->argv[1], refused_subcommands[i].name))
            continue;
        char name[2 * sizeof(struct name) + 2];
        snprintf(name, sizeof name, "%s|%s", parent->name, refused_subcommands[i].name);
        if (refused_subcommands[i].kind == SCRIPT)
            refuse_script(call, name);
        else
            refuse_absent(call, name);
        return;
    }
    char upper[sizeof(struct name) + 1] = "";
    for (size_t i = 0; parent->name[i] != '\0'; i++)
        upper[i] = (char)(parent->name[i] - ('a' - 'A'));
    int shown = (int)(call->argv[1].len < SHOWN_ARGS_MAX ? call->argv[1].len : SHOWN_ARGS_MAX);
    fb_call_error(call, UNKNOWN_SUBCOMMAND, shown, call->argv[1].data, upper);
}

static void refuse_arity(struct fb_call *call, const struct fb_command *command) {
    char name[FB_COMMAND_NAME_MAX], text[sizeof FB_TEXT_ARITY + sizeof name];
    fb_command_full_name(command, name);
    if (command->handler == fb_cmd_exec) {
        fb_multi_reset(call->session);
        snprintf(text, sizeof text, FB_TEXT_ARITY, name);
        fb_call_error(call, DISCARDED_EXEC, text);
        return;
    }
    fb_call_error(call, ARITY, name);
}

static void refuse_data(struct fb_call *call, const struct fb_refused *row) {
    if (call->argc <= row->first) {
        fb_call_error(call, ARITY, row->name);
        return;
    }
    fb_bytes key = call->argv[row->first];
    if (!fb_login_may_see(call, key) || !fb_call_maps(call, key))
        return;
    fb_cache *cache = fb_call_cache(call);
    const fb_keyspace_options *keyspace = fb_keyspace_at(cache, (unsigned)fb_keyspace_of(cache, key));
    int shown = (int)(key.len < SHOWN_ARGS_MAX ? key.len : SHOWN_ARGS_MAX);
    fb_call_error(call, NOT_ON_ROWS, row->name, shown, key.data, keyspace->pattern,
                  keyspace->as != NULL ? keyspace->as : "json");
}

static void refuse_known(struct fb_call *call, const struct fb_refused *row) {
    switch (row->kind) {
    case DATA: refuse_data(call, row); return;
    case SCRIPT: refuse_script(call, row->name); return;
    case NEVER: refuse_absent(call, row->name); return;
    case CLUSTER: fb_call_error(call, CLUSTER); return;
    }
}

void fb_print_refused(FILE *out) {
    static const char *const reasons[] = {
        [DATA] = "On a mapped key these are refused by name; a row is not this kind of data",
        [SCRIPT] = "Scripts are not run",
        [NEVER] = "Replication, persistence and inspection of a Redis are not there",
        [CLUSTER] = "Answered with `ERR This instance has cluster support disabled`",
    };
    fputs("\n## Refused\n", out);
    for (size_t kind = 0; kind < sizeof reasons / sizeof reasons[0]; kind++) {
        fprintf(out, "\n%s:", reasons[kind]);
        for (size_t i = 0; i < NREFUSED; i++)
            if (refused[i].kind == (enum refusal)kind)
                fprintf(out, " `%s`", refused[i].name);
        for (size_t i = 0; i < NREFUSED_SUBCOMMANDS; i++)
            if (refused_subcommands[i].kind == (enum refusal)kind)
                fprintf(out, " `%s %s`", refused_subcommands[i].parent, refused_subcommands[i].name);
        fputs(".\n", out);
    }
}

/* The gate STORE stands before it wherever there is a store; without one nothing finds it. */
void fb_cmd_foreign(struct fb_call *call) { refuse_absent(call, call->command->name); }

/* ---- dispatch --------------------------------------------------------------------------------------------------- */

/* A browser made to send a form to this port; what follows would be commands of somebody else's choice. */
static bool is_http(fb_bytes word) { return fb_is_word(word, "post") || fb_is_word(word, "host:"); }

/* What is answered before AUTH. That a command does not exist is no secret, and Redis says it. */
static bool is_for_strangers(const struct fb_command *command, const struct fb_verb *verb) {
    return command != NULL ? (command->flags & FB_CMD_NO_AUTH) != 0 : verb->refused == NULL;
}

/* What only the store carries out: Redis' commands on other kinds of data, scripts. NULL: nothing. */
static const struct fb_command *find_foreign(const struct fb_session *session, const struct fb_verb *verb) {
    if (!fb_pass_is_on(session->loop->server))
        return NULL;
    if (verb->foreign != NULL)
        return verb->foreign;
    return verb->parent != NULL && (verb->parent->flags & FB_CMD_STORES) ? verb->parent : NULL;
}

static enum fb_dispatch run(struct fb_call *call, const struct fb_verb *verb) {
    const unsigned transparent = FB_GATE_STORE | FB_GATE_FORWARD;
    struct fb_session *session = call->session;
    const struct fb_command *command = verb->command != NULL ? verb->command : find_foreign(session, verb);
    call->command = command;
    if (command != NULL && !fb_arity_fits(command, call->argc)) {
        refuse_arity(call, command);
    } else if (!session->is_authenticated && !is_for_strangers(command, verb)) {
        fb_call_error(call, NO_AUTH);
    } else if (command != NULL) {
        atomic_store_explicit(&session->last_command, command, memory_order_relaxed);
        atomic_store_explicit(&session->last_tick, session->loop->tick, memory_order_relaxed);
        unsigned up = session->gates | atomic_load_explicit(&session->loop->server->gates, memory_order_relaxed);
        bool is_free = up == 0 || ((up & ~transparent) == 0 && (command->flags & FB_CMD_PEEKS));
        enum fb_passage passage = is_free ? FB_PASS : fb_gates_pass(call, up);
        if (passage == FB_DELAY)
            return FB_DISPATCH_HOLD;
        if (passage == FB_PASS) {
            call->has_begun = true;
            command->handler(call);
        }
    } else if (verb->parent != NULL) {
        refuse_subcommand(call, verb->parent);
    } else if (verb->refused != NULL) {
        refuse_known(call, verb->refused);
    } else if (is_http(call->argv[0])) {
        return FB_DISPATCH_HANG_UP;
    } else if (!fb_pass_unknown(call)) {
        refuse_unknown(call);
    }
    return FB_DISPATCH_DONE;
}

/* Where its reply goes. */
static void open_reply(struct fb_call *call, bool is_silent) {
    struct fb_session *session = call->session;
    call->is_silent = is_silent;
    call->out = is_silent ? &session->loop->trash : fb_session_sink(session);
    if (is_silent)
        call->out->buf.len = 0;
    call->out->version = atomic_load_explicit(&session->shown_version, memory_order_relaxed);
    call->mark = call->out->buf.len;
}

/* Does it write nothing but rows that are written behind? Several such requests of a connection may be under way together:
 * a key goes from one to the next in the order of asking, and one sync makes all of them safe. */
static bool is_behind(const struct fb_session *session, const struct fb_command *command, const fb_bytes *argv, size_t argc) {
    const fb_cache *cache = session->loop->server->cache;
    if (command == NULL || (command->flags & FB_CMD_ROWS) != FB_CMD_ROWS || argc > FB_BEHIND_WORDS_MAX || session->db != 0 ||
        !fb_arity_fits(command, argc) || fb_multi_is_open(session))
        return false;
    size_t last = command->last < 0 ? argc - 1 : (size_t)command->last;
    for (size_t i = (size_t)command->first; i <= last; i += (size_t)command->step) {
        int id = fb_keyspace_of(cache, argv[i]);
        const fb_keyspace_options *options = id >= 0 ? fb_keyspace_at(cache, (unsigned)id) : NULL;
        if (options == NULL || options->write != FB_WRITE_BEHIND ||
            ((command->flags & FB_KEY_DELETE) && options->on_del != FB_ON_DEL_DELETE_ROW))
            return false;
    }
    return true;
}

/* Must it wait for those before it (S2)? */
static bool must_wait(struct fb_session *session, const struct fb_verb *verb, const fb_bytes *argv, size_t argc,
                      bool is_behind) {
    if (session->is_peer && session->multi == NULL) /* of many clients, whose order the other Forebay keeps */
        return false;
    if (session->nbehind > 0)
        return !is_behind;
    return fb_verb_is_alone(verb) && !fb_pass_may_overtake(session, verb, argv, argc);
}

enum fb_dispatch fb_dispatch(struct fb_session *session, const struct fb_verb *verb, const fb_bytes *argv,
                             size_t argc) {
    struct fb_call call = {.session = session, .argv = argv, .argc = argc, .began = session->loop->clock};
    enum fb_reply_mode mode = session->reply_mode;
    call.is_behind = is_behind(session, verb->command, argv, argc);
    if (session->nwaits > 0 && must_wait(session, verb, argv, argc, call.is_behind))
        return FB_DISPATCH_HOLD;
    open_reply(&call, mode != FB_REPLY_ON);
    if (mode == FB_REPLY_SKIP)
        session->reply_mode = FB_REPLY_ON;
    enum fb_dispatch outcome = run(&call, verb);
    if (call.is_delayed) {
        fb_call_rewind(&call);
        session->gates |= FB_GATE_AGAIN;
        outcome = FB_DISPATCH_HOLD;
    }
    if (outcome == FB_DISPATCH_HOLD) {
        session->reply_mode = mode;
        return outcome;
    }
    if (call.has_failed && !call.has_begun)
        fb_multi_flaw(session);
    if (call.is_starved) { /* nothing has happened but perhaps some writing: as if it had not come yet */
        fb_call_rewind(&call);
        session->reply_mode = mode;
        session->gates |= FB_GATE_AGAIN;
        return FB_DISPATCH_STARVE;
    }
    if (call.has_begun && !call.is_waiting)
        fb_measure_done(&call);
    else if (!call.has_begun && call.has_failed && call.command != NULL)
        fb_measure_rejected(&call);
    return outcome;
}

/* ---- what EXEC has kept ------------------------------------------------------------------------------------------ */

static enum fb_dispatch run_queued(struct fb_session *session, struct fb_queued *queued) {
    struct fb_call call = queued->call;
    const struct fb_command *command = call.command;
    bool is_planned = queued->finish != NULL || queued->is_theirs; /* nothing is begun any more */
    if (!is_planned)
        call = (struct fb_call){.session = session, .command = command, .argv = call.argv, .argc = call.argc};
    if (!is_planned && session->nwaits > 0 && command->flags & (FB_CMD_WRITE | FB_CMD_ALONE))
        return FB_DISPATCH_HOLD;
    call.began = session->loop->clock;
    call.is_inner = true;
    open_reply(&call, session->multi->is_silent || session->reply_mode != FB_REPLY_ON);
    unsigned up = session->gates | atomic_load_explicit(&session->loop->server->gates, memory_order_relaxed);
    up &= is_planned ? FB_GATE_MONITOR : FB_GATE_MONITOR | FB_GATE_USER | FB_GATE_TRACKING | FB_GATE_FORWARD;
    call.has_begun = up == 0 || fb_gates_pass(&call, up) == FB_PASS;
    fb_span share = {0};
    if (queued->is_theirs)
        fb_exec_hand_out(&call);
    else if (is_planned)
        share = fb_exec_answer(&call, queued);
    else if (call.has_begun)
        command->handler(&call);
    if (call.is_starved) {
        fb_call_rewind(&call);
        session->gates |= FB_GATE_AGAIN;
        return FB_DISPATCH_STARVE;
    }
    if (is_planned)
        fb_measure_inner(&call, share);
    else if (call.has_begun && !call.is_waiting)
        fb_measure_done(&call);
    return FB_DISPATCH_DONE;
}

enum fb_dispatch fb_dispatch_queued(struct fb_session *session) {
    enum fb_dispatch outcome = run_queued(session, fb_exec_next(session));
    if (outcome == FB_DISPATCH_DONE)
        fb_exec_advance(session);
    return outcome;
}

void fb_refused_print_reference(FILE *out) {
    for (size_t i = 0; i < NREFUSED; i++)
        if (refused[i].kind == NEVER || refused[i].kind == CLUSTER)
            fprintf(out, " `%s`", refused[i].name);
}
