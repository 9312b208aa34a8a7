/* From libyaml's events to a tree. */
#include "conf/tree.h"

#include <string.h>
#include <yaml.h>

struct reader {
    struct fb_conf_details *d;
    yaml_parser_t parser;
    unsigned nodes;
    bool is_broken;  /* no more events can be had */
};

static struct fb_origin at_mark(const yaml_mark_t *start, const yaml_mark_t *end) {
    struct fb_origin at = {
        .kind = FB_ORIGIN_FILE, .line = (int)start->line + 1, .col = (int)start->column + 1, .width = 1};
    if (end != NULL && end->line == start->line && end->column > start->column)
        at.width = (int)(end->column - start->column);
    return at;
}

static const char *help_for(const char *problem) {
    static const struct { const char *part, *help; } helps[] = {
        {"mapping values are not allowed", "put quotes around a value that holds ': ', and indent members alike"},
        {"could not find expected ':'", "every setting is 'name: value'; put quotes around a value of several lines"},
        {"did not find expected key", "members of a section are indented alike; a quoted value ends at its quote"},
        {"block sequence entries", "a list begins on a line of its own: '- item'"},
        {"did not find expected ',' or ']'", "close the list with ']'"},
        {"did not find expected ',' or '}'", "close the mapping with '}'; put quotes around a pattern inside braces"},
        {"cannot start any token", "put quotes around a value that begins with @, ` or %"},
        {"escape", "in double quotes write a backslash as \\\\, or use single quotes"},
    };
    for (size_t i = 0; i < sizeof helps / sizeof helps[0]; i++)
        if (strstr(problem, helps[i].part) != NULL)
            return helps[i].help;
    return "look at the quotes, brackets and indentation around here";
}

static void complain(struct reader *r) {
    const yaml_parser_t *p = &r->parser;
    r->is_broken = true;
    if (p->error == YAML_MEMORY_ERROR) {
        r->d->arena.is_exhausted = true;
        return;
    }
    const char *problem = p->problem != NULL ? p->problem : "this is not YAML";
    struct fb_origin at = at_mark(&p->problem_mark, NULL);
    if (strstr(problem, "unexpected end of stream") != NULL && p->context != NULL) {
        at = at_mark(&p->context_mark, NULL); /* the end is nobody's fault, the beginning may be */
        fb_fault(r->d, &at, "yaml", "what begins here does not end before the file does");
        fb_help(r->d, "close the quote or bracket");
        return;
    }
    if (p->error == YAML_READER_ERROR)
        fb_text_position(&r->d->text, p->problem_offset < r->d->text.len ? p->problem_offset : 0, &at.line, &at.col);
    if (p->context != NULL && p->context_mark.line != p->problem_mark.line)
        fb_fault(r->d, &at, "yaml", "%s, %s that begins in line %d", problem, p->context,
                 (int)p->context_mark.line + 1);
    else
        fb_fault(r->d, &at, "yaml", "%s%s%s", problem, p->context != NULL ? ", " : "",
                 p->context != NULL ? p->context : "");
    fb_help(r->d, "%s", help_for(problem));
}

static bool next(struct reader *r, yaml_event_t *event) {
    if (r->is_broken)
        return false;
    if (!yaml_parser_parse(&r->parser, event)) {
        complain(r);
        return false;
    }
    return true;
}

static void refuse(struct reader *r, const yaml_event_t *event, const char *code, const char *what, const char *help) {
    struct fb_origin at = at_mark(&event->start_mark, &event->end_mark);
    fb_fault(r->d, &at, code, "%s", what);
    fb_help(r->d, "%s", help);
}

/* Anchors and tags make a file mean something else than it says at the place where one reads it. */
static void check_properties(struct reader *r, const yaml_event_t *event) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL)
        refuse(r, event, "anchor", "anchors (&) and aliases (*) are not used here",
               "write the value out; share lives by classes");
    if (tag != NULL)
        refuse(r, event, "tag", "tags (!) are not used here",
               "the setting decides its type; put quotes around a value with '!'");
}

static struct fb_node *node_new(struct reader *r, const yaml_event_t *event, enum fb_node_kind kind) {
    if (++r->nodes > FB_YAML_NODES_MAX) {
        refuse(r, event, "too-large", "the file holds too many values", "is this the right file?");
        r->is_broken = true;
        return NULL;
    }
    struct fb_node *node = fb_arena_alloc(&r->d->arena, sizeof *node);
    if (node == NULL) {
        r->is_broken = true;
        return NULL;
    }
    node->kind = kind;
    node->at = at_mark(&event->start_mark, &event->end_mark);
    check_properties(r, event);
    return node;
}

static struct fb_node *scalar(struct reader *r, const yaml_event_t *event) {
    struct fb_node *node = node_new(r, event, FB_NODE_SCALAR);
    if (node == NULL || event->type == YAML_ALIAS_EVENT)
        return node;
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(text, '\0', len) != NULL) {
        refuse(r, event, "control", "a value holds a zero byte", "remove the \\0");
        len = 0;
    }
    node->is_bare = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = fb_arena_copy(&r->d->arena, text, len);
    r->is_broken = r->is_broken || node->text == NULL;
    return node;
}

/* The node that begins with `event`, which is consumed. NULL: broken. Recursion is bounded by FB_YAML_DEPTH_MAX. */
static struct fb_node *node_read(struct reader *r, yaml_event_t *event, unsigned depth) {
    struct fb_node *node = NULL, **tail;
    yaml_event_t inner;
    if (event->type == YAML_ALIAS_EVENT)
        refuse(r, event, "anchor", "anchors (&) and aliases (*) are not used here",
               "write the value out; share lives by classes");
    if (event->type == YAML_ALIAS_EVENT || event->type == YAML_SCALAR_EVENT) {
        node = scalar(r, event);
        if (node != NULL && node->text == NULL)
            node->text = "";
        goto out;
    }
    if (depth == FB_YAML_DEPTH_MAX) {
        refuse(r, event, "depth", "nested too deeply", "no setting is deeper than section, name, setting, list");
        r->is_broken = true;
        goto out;
    }
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    node = node_new(r, event, is_map ? FB_NODE_MAP : FB_NODE_LIST);
    if (node == NULL)
        goto out;
    tail = &node->first;
    while (next(r, &inner)) {
        if (inner.type == YAML_MAPPING_END_EVENT || inner.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&inner);
            break;
        }
        struct fb_node *key = NULL, *child = node_read(r, &inner, depth + 1);
        if (child != NULL && is_map) {
            key = child;
            if (key->kind != FB_NODE_SCALAR) {
                fb_fault(r->d, &key->at, "key", "a key must be a word");
                fb_help(r->d, "write 'name: value'; put quotes around a pattern that begins with '{'");
            }
            child = next(r, &inner) ? node_read(r, &inner, depth + 1) : NULL;
        }
        if (child == NULL)
            break;
        child->key = key != NULL && key->kind == FB_NODE_SCALAR ? key : NULL;
        if (is_map && child->key == NULL)
            continue;
        *tail = child;
        tail = &child->next;
    }
out:
    yaml_event_delete(event);
    return r->is_broken ? NULL : node;
}

struct fb_node *fb_yaml_parse(struct fb_conf_details *d, bool *ret_ok) {
    struct reader r = {.d = d};
    struct fb_node *root = NULL;
    yaml_event_t event;
    bool is_done = false;
    if (!yaml_parser_initialize(&r.parser)) {
        d->arena.is_exhausted = true;
        *ret_ok = false;
        return NULL;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)d->text.data, d->text.len);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    unsigned documents = 0;
    while (!is_done && next(&r, &event)) {
        switch (event.type) {
        case YAML_STREAM_END_EVENT: is_done = true; break;
        case YAML_DOCUMENT_START_EVENT:
            if (++documents == 2) {
                refuse(&r, &event, "yaml", "a second document begins here",
                       "one file is one configuration; remove the '---'");
                r.is_broken = true;
            }
            break;
        case YAML_SCALAR_EVENT:
        case YAML_ALIAS_EVENT:
        case YAML_SEQUENCE_START_EVENT:
        case YAML_MAPPING_START_EVENT:
            root = node_read(&r, &event, 0);
            continue; /* consumed */
        default: break;
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&r.parser);
    *ret_ok = !r.is_broken;
    return r.is_broken ? NULL : root;
}
