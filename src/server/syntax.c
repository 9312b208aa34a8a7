/* Reads the syntax of a command's row ("key [EX seconds|PERSIST]") and writes it as the tree that Redis has for it.
 *
 *     choice   = sequence {" | " sequence}           one of several forms of the command
 *     sequence = item {" " item}
 *     item     = "[" choice [" ..."] "]" | unit {"|" unit}
 *     unit     = TOKEN [" " word {"|" word}] | word
 *
 * A bracket with "..." that repeats what stands before it says that this may come several times. */
#include "server/syntax.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "server/call.h"

enum {
    NODES_MAX = 48, /* of one row; the table is ours, and a test reads all of it */
    NONE = 0,       /* nodes[0] is nobody */
};

enum kind { WORD, TOKEN, ONEOF, BLOCK };

struct node {
    enum kind kind;
    fb_bytes name, token;
    const char *start; /* where in the text */
    bool is_optional, is_multiple, is_token_again;
    unsigned first, next;
};

struct parser {
    const char *at;
    struct node nodes[NODES_MAX];
    unsigned n;
};

/* Nodes one after another, as they are found. */
struct chain {
    unsigned first, last;
};

static unsigned add(struct parser *p, enum kind kind, const char *start) {
    assert(p->n < NODES_MAX);
    p->nodes[p->n] = (struct node){.kind = kind, .start = start};
    return p->n++;
}

static void append(struct parser *p, struct chain *chain, unsigned node) {
    if (chain->last == NONE)
        chain->first = node;
    else
        p->nodes[chain->last].next = node;
    chain->last = node;
}

/* A node that stands for all from `first` on; it goes by the name of the first of them. */
static unsigned enclose(struct parser *p, enum kind kind, unsigned first) {
    if (p->nodes[first].next == NONE)
        return first;
    unsigned parent = add(p, kind, p->nodes[first].start);
    p->nodes[parent].first = first;
    p->nodes[parent].name = p->nodes[first].name;
    return parent;
}

static bool take(struct parser *p, const char *text) {
    size_t len = strlen(text);
    if (strncmp(p->at, text, len) != 0)
        return false;
    p->at += len;
    return true;
}

static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

static fb_bytes take_word(struct parser *p) {
    size_t len = strcspn(p->at, " |[]");
    fb_bytes word = fb_bytes_of(p->at, len);
    assert(len > 0);
    p->at += len;
    return word;
}

/* "yes|no": a token in front has them all. */
static unsigned take_words(struct parser *p) {
    struct chain words = {0};
    const char *start = p->at;
    do {
        unsigned word = add(p, WORD, p->at);
        p->nodes[word].name = take_word(p);
        append(p, &words, word);
    } while (p->at[0] == '|' && !is_upper(p->at[1]) && take(p, "|"));
    unsigned all = enclose(p, ONEOF, words.first);
    p->nodes[all].start = start;
    return all;
}

static unsigned take_unit(struct parser *p) {
    if (!is_upper(*p->at))
        return take_words(p);
    const char *start = p->at;
    fb_bytes token = take_word(p);
    bool has_words = p->at[0] == ' ' && p->at[1] >= 'a' && p->at[1] <= 'z';
    if (has_words)
        p->at++;
    unsigned node = has_words ? take_words(p) : add(p, TOKEN, start);
    p->nodes[node].start = start;
    p->nodes[node].token = token;
    if (!has_words)
        p->nodes[node].name = token;
    return node;
}

static unsigned take_units(struct parser *p) {
    struct chain units = {0};
    do
        append(p, &units, take_unit(p));
    while (take(p, "|"));
    return enclose(p, ONEOF, units.first);
}

static unsigned take_choice(struct parser *p);

/* Of the chain, what begins at `start` becomes one node that may come several times. */
static void repeat(struct parser *p, struct chain *chain, const char *start) {
    struct node *last = &p->nodes[chain->last];
    if (last->token.len > 0 && start == last->start + last->token.len + 1) {
        last->is_multiple = true; /* "ID client-id [client-id ...]" */
        return;
    }
    unsigned before = NONE, from = chain->first;
    while (p->nodes[from].start != start) {
        before = from;
        from = p->nodes[from].next;
        assert(from != NONE);
    }
    unsigned all = enclose(p, BLOCK, from);
    p->nodes[all].is_multiple = true;
    p->nodes[all].is_token_again = p->nodes[all].token.len > 0;
    chain->last = before;
    append(p, chain, all);
}

static void take_bracket(struct parser *p, struct chain *chain) {
    const char *open = p->at - 1;
    unsigned n = p->n, inside = take_choice(p);
    size_t len = (size_t)(p->at - open) - 1;
    bool is_repeated = take(p, " ...");
    bool is_closed = take(p, "]");
    assert(is_closed);
    (void)is_closed;
    if (is_repeated && chain->last != NONE && open - p->nodes[chain->first].start > (ptrdiff_t)len &&
        memcmp(open - 1 - len, open + 1, len) == 0) {
        p->n = n; /* it was read before */
        repeat(p, chain, open - 1 - len);
        return;
    }
    p->nodes[inside].is_optional = true;
    p->nodes[inside].is_multiple |= is_repeated;
    p->nodes[inside].start = open;
    append(p, chain, inside);
}

static unsigned take_sequence(struct parser *p) {
    struct chain chain = {0};
    do {
        if (take(p, "["))
            take_bracket(p, &chain);
        else
            append(p, &chain, take_units(p));
    } while (p->at[0] == ' ' && p->at[1] != '|' && p->at[1] != '.' && take(p, " "));
    return chain.first;
}

static unsigned take_choice(struct parser *p) {
    struct chain forms = {0};
    unsigned first = take_sequence(p);
    if (strncmp(p->at, " | ", 3) != 0)
        return *p->at == '\0' ? first : enclose(p, BLOCK, first);
    append(p, &forms, enclose(p, BLOCK, first));
    while (take(p, " | "))
        append(p, &forms, enclose(p, BLOCK, take_sequence(p)));
    return enclose(p, ONEOF, forms.first);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static const char *type_of(const struct node *node) {
    static const struct {
        const char *name, *type;
    } types[] = {
        {"key", "key"}, {"pattern", "pattern"}, {"seconds", "integer"}, {"milliseconds", "integer"},
        {"unix-time-seconds", "unix-time"}, {"unix-time-milliseconds", "unix-time"}, {"count", "integer"},
        {"cursor", "integer"}, {"index", "integer"}, {"start", "integer"}, {"end", "integer"}, {"timeout", "integer"},
        {"client-id", "integer"}, {"numlocal", "integer"}, {"numreplicas", "integer"}, {"decrement", "integer"},
        {"limit", "integer"}, {"bits", "integer"}, {"protover", "integer"},
    };
    switch (node->kind) {
    case TOKEN:
        return "pure-token";
    case ONEOF:
        return "oneof";
    case BLOCK:
        return "block";
    case WORD:
        break;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (fb_is_word(node->name, types[i].name))
            return types[i].type;
    return "string";
}

static void write_field(struct fb_resp_out *out, const char *name, fb_bytes value) {
    fb_resp_write_bulk(out, FB_STR(name));
    fb_resp_write_bulk(out, value);
}

static void write_name(struct fb_resp_out *out, fb_bytes name) {
    char lower[64];
    size_t len = name.len < sizeof lower ? name.len : sizeof lower;
    for (size_t i = 0; i < len; i++)
        lower[i] = is_upper(name.data[i]) ? (char)(name.data[i] + ('a' - 'A')) : name.data[i];
    write_field(out, "name", fb_bytes_of(lower, len));
}

static void write_nodes(struct fb_resp_out *out, const struct node *nodes, unsigned first);

static void write_node(struct fb_resp_out *out, const struct node *nodes, const struct node *node) {
    size_t nflags = (size_t)node->is_optional + node->is_multiple + node->is_token_again;
    fb_resp_write_map(out, 2 + (node->token.len > 0) + (nflags > 0) + (node->first != NONE));
    write_name(out, node->name);
    write_field(out, "type", FB_STR(type_of(node)));
    if (node->token.len > 0)
        write_field(out, "token", node->token);
    if (nflags > 0) {
        fb_resp_write_bulk(out, FB_STR("flags"));
        fb_resp_write_set(out, nflags);
        if (node->is_optional)
            fb_resp_write_simple(out, "optional");
        if (node->is_multiple)
            fb_resp_write_simple(out, "multiple");
        if (node->is_token_again)
            fb_resp_write_simple(out, "multiple_token");
    }
    if (node->first != NONE) {
        fb_resp_write_bulk(out, FB_STR("arguments"));
        write_nodes(out, nodes, node->first);
    }
}

static void write_nodes(struct fb_resp_out *out, const struct node *nodes, unsigned first) {
    size_t n = 0;
    for (unsigned i = first; i != NONE; i = nodes[i].next)
        n++;
    fb_resp_write_array(out, n);
    for (unsigned i = first; i != NONE; i = nodes[i].next)
        write_node(out, nodes, &nodes[i]);
}

void fb_syntax_write(struct fb_resp_out *out, const char *syntax) {
    struct parser p = {.at = syntax, .n = NONE + 1};
    unsigned first = take_choice(&p);
    assert(*p.at == '\0');
    write_nodes(out, p.nodes, first);
}
