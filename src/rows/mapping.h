/* What a keyspace looks like: its pattern, its columns with their types, and how a row becomes a value.
 *
 * A mapping is filled in by a source when it binds a keyspace to its catalogue and never changes afterwards. Everything
 * here is pure: no database is asked. */
#ifndef FB_ROWS_MAPPING_H
#define FB_ROWS_MAPPING_H

#include <stdbool.h>

#include <forebay/forebay.h>

#include "rows/pattern.h"

enum { FB_COLUMNS_MAX = 500 }; /* rows are handled in arrays of this size on the stack: 12 KiB */

/* What kind of values a column holds; the database's own types are folded into these. */
enum fb_class {
    FB_CLASS_INTEGER, /* 64 bits */
    FB_CLASS_NUMERIC, /* exact decimal */
    FB_CLASS_REAL,
    FB_CLASS_BOOLEAN,
    FB_CLASS_TEXT,
    FB_CLASS_JSON,
    FB_CLASS_BINARY,
    FB_CLASS_TIME,    /* date or time, as the database writes it */
    FB_CLASS_ANY,     /* no declared type: each value has its own */
};
const char *fb_class_name(enum fb_class class);

struct fb_column {
    char *name;        /* as clients know it */
    size_t name_len;
    char *db_name;     /* as the table has it, where that is another; else NULL */
    enum fb_class class;
    bool is_nullable;
    bool has_default;
    bool is_readonly;  /* generated, or not written by the keyspace's own SQL */
    bool is_hidden;    /* never shown, never written: for clients it does not exist */
    bool is_rewritten; /* a text is shown otherwise than it was given (an address, an enumeration, a padded text) */
    int param;         /* the parameter of the pattern that holds it, or −1 */
};

/* Does SET with `set: replace` bring the column back to its default when it does not name it? */
static inline bool fb_column_is_reset(const struct fb_column *c) {
    return c->param < 0 && !c->is_hidden && !c->is_readonly;
}

enum fb_datum_kind { FB_DATUM_NULL, FB_DATUM_INT, FB_DATUM_REAL, FB_DATUM_NUMBER, FB_DATUM_TEXT, FB_DATUM_BLOB };

/* One value of one column. */
struct fb_datum {
    enum fb_datum_kind kind;
    union {
        int64_t i;
        double r;
        fb_bytes bytes; /* NUMBER (exact decimal as text), TEXT, BLOB: borrowed */
    };
};

static inline struct fb_datum fb_datum_null(void) { return (struct fb_datum){.kind = FB_DATUM_NULL}; }
static inline struct fb_datum fb_datum_int(int64_t i) { return (struct fb_datum){.kind = FB_DATUM_INT, .i = i}; }
static inline struct fb_datum fb_datum_real(double r) { return (struct fb_datum){.kind = FB_DATUM_REAL, .r = r}; }
static inline struct fb_datum fb_datum_bytes(enum fb_datum_kind kind, fb_bytes b) {
    return (struct fb_datum){.kind = kind, .bytes = b};
}
/* The same value, exactly: 1 and 1.0 differ, and so do a text and a blob of the same bytes. */
bool fb_datum_equal(const struct fb_datum *a, const struct fb_datum *b);
enum { FB_DATUM_TEXT_MAX = 32 };
/* Its plain text; numbers are formatted into `space`, the rest is borrowed. NULL has none. */
fb_bytes fb_datum_text(const struct fb_datum *datum, char space[FB_DATUM_TEXT_MAX]);

enum fb_as { FB_AS_JSON, FB_AS_HASH, FB_AS_COLUMN };

enum { FB_ORDER_MAX = 16 }; /* columns that the rows of a list are ordered by */
struct fb_order {
    unsigned column;
    bool is_descending;
};

/* A keyspace whose values show rows of this one's table: which of the columns make its key. */
struct fb_dependent {
    const struct fb_pattern *pattern; /* the other keyspace's; lives as long as both */
    uint16_t keyspace;                /* its number */
    unsigned columns[FB_PATTERN_PARAMS_MAX];
};

/* A table that this keyspace's values show: which of its columns make the key (rows/depend.h). */
enum { FB_DEPENDS_MAX = 16 };
struct fb_depend {
    char *item;  /* as it was written */
    char *table; /* as the source tells its tables apart */
    char *columns[FB_PATTERN_PARAMS_MAX];
};

struct fb_mapping {
    char *name; /* the pattern as text, for messages */
    struct fb_pattern pattern;
    bool param_is_int[FB_PATTERN_PARAMS_MAX]; /* goes to the database as a number, else as text */
    struct fb_column *columns;
    unsigned ncolumns;
    enum fb_as as;
    unsigned as_column;     /* FB_AS_COLUMN */
    bool set_replaces;      /* SET resets the columns it does not name */
    bool is_list;           /* many rows, as a JSON array */
    struct fb_order order[FB_ORDER_MAX]; /* lists of a table */
    unsigned norder;
    unsigned limit;         /* lists of a table: rows at most; 0: FB_MANY_ROWS_MAX, and more are an error */
    struct fb_depend *depends;       /* what these values depend on */
    unsigned ndepends;
    struct fb_dependent *dependents; /* who depends on these rows */
    unsigned ndependents;
    bool reals_only;        /* exact decimals are kept as doubles here (SQLite): what does not fit one is refused */
    bool has_nan;           /* numbers and reals may be NaN here (PostgreSQL) */
    bool is_changed;        /* by triggers, rules or statements: what a write leaves only the database can say. Known of
                               keyspaces that are written behind */
};

/* Frees what is inside; accepts a zeroed mapping. */
void fb_mapping_finish(struct fb_mapping *mapping);
static inline fb_kind fb_mapping_kind(const struct fb_mapping *m) {
    return m->as == FB_AS_HASH ? FB_KIND_HASH : FB_KIND_STRING;
}
/* The column clients may name, or −1 with the nearest name in the hint. */
int fb_mapping_find_column(const struct fb_mapping *mapping, fb_bytes name);
/* The column of this name in the database, hidden or not; −1. */
int fb_mapping_column(const struct fb_mapping *mapping, const char *name);
/* "as" of a keyspace: json (also NULL), hash, text, column:NAME. FB_CONFIG. The columns are there already. */
fb_status fb_mapping_set_as(struct fb_mapping *mapping, const char *as, bool is_explicit_sql, fb_err *reterr);
/* One more column that the rows of a list are ordered by: "name", "name asc", "name desc". FB_CONFIG. */
fb_status fb_mapping_order(struct fb_mapping *mapping, const char *item, fb_err *reterr);
/* The primary key, after what was asked for, in the direction of the last of it: rows that are alike otherwise always come
 * in the same order, and an index over the columns before serves for all of it. */
void fb_mapping_order_key(struct fb_mapping *mapping, unsigned column);
/* Give a column the name that clients know it by: list[i] is "COLUMN=NAME". The last thing that is done to a mapping. No
 * two columns that are shown may have one name. FB_CONFIG. */
fb_status fb_mapping_rename(struct fb_mapping *mapping, const char *const *list, size_t i, fb_err *reterr);
/* Mark the hidden columns. FB_CONFIG with the nearest name; key columns may be hidden. */
fb_status fb_mapping_hide(struct fb_mapping *mapping, const char *const *names, fb_err *reterr);

/* A key as values for the database, in the order of the pattern's parameters; they borrow from the key. FB_NOMAP when
 * the key does not match. */
fb_status fb_mapping_key(const struct fb_mapping *mapping, fb_bytes key,
                         struct fb_datum ret_values[FB_PATTERN_PARAMS_MAX], fb_err *reterr);
/* Is this row the one the key names? A database may compare more loosely than we do ('042' finds 42, 'bob' finds
 * 'Bob'); such a row belongs to another key. Compares the texts of the columns that the pattern's parameters hold. */
bool fb_mapping_row_is_key(const struct fb_mapping *mapping, const struct fb_datum *row, const struct fb_datum *key);
/* The key that names a row of key columns, in the order of the parameters: into `out`, which is emptied first.
 * FB_BADVALUE when none does: a NULL, or a text that does not fit its type. */
fb_status fb_mapping_key_of_row(const struct fb_mapping *mapping, const struct fb_datum *row, fb_buf *out);
/* Write "keyspace 'pattern': …" and return the status. */
fb_status fb_mapping_fail(const struct fb_mapping *mapping, fb_err *err, fb_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- a row becomes a value (render.c) ---- */

/* Append the value of a row (one datum per column of the mapping). FB_NOTFOUND: the one column shown is NULL, so there
 * is no value. FB_SOURCE: a column holds what its type and the format cannot show. */
fb_status fb_render_row(const struct fb_mapping *mapping, const struct fb_datum *row, fb_buf *out, fb_err *reterr);
/* Append the row as an element of a list: a JSON object, or the JSON value of the one column shown. */
fb_status fb_render_element(const struct fb_mapping *mapping, const struct fb_datum *row, fb_buf *out, fb_err *reterr);
/* Append the value of one column, as JSON; or as a field of a hash (NULL: none). FB_SOURCE as above. */
fb_status fb_render_json(const struct fb_mapping *mapping, unsigned column, const struct fb_datum *datum, fb_buf *out,
                         fb_err *reterr);
fb_status fb_render_field(const struct fb_mapping *mapping, unsigned column, const struct fb_datum *datum, fb_buf *out,
                          fb_err *reterr);
/* A JSON string with quotes. FB_BADVALUE when the text is not valid UTF-8. */
fb_status fb_render_json_string(fb_buf *out, fb_bytes text);

#endif
