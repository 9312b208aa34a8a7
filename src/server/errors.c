/* Saying that a request failed: in the words of tbl/errors.h, or of a status. Every error on the wire is counted here. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/call.h"
#include "server/server.h"

enum { SHOWN_MAX = 128 }; /* bytes of a request in an error, besides the text of a source */

static const struct row {
    const char *word, *text, *meaning, *help;
} rows[FB_ERROR_COUNT_] = {
#define ROW(id, ...) [FB_ERROR_##id] = {__VA_ARGS__},
    FB_ERROR_MAP(ROW)
#undef ROW
};

/* ---- saying ------------------------------------------------------------------------------------------------------ */

/* The words are constants of the program, so comparing and keeping the pointers' texts is enough. */
static void count_error(struct fb_call *call, const char *word) {
    struct fb_server *server = fb_call_server(call);
    fb_count(&fb_call_loop(call)->counters.errors, 1);
    fb_lock_acquire(&server->lock);
    for (size_t i = 0; i < FB_ERROR_WORDS_MAX; i++) {
        if (server->errors[i].word == NULL)
            server->errors[i].word = word;
        if (strcmp(server->errors[i].word, word) == 0) {
            server->errors[i].count++;
            break;
        }
    }
    fb_lock_release(&server->lock);
}

static void say(struct fb_call *call, const char *word, const char *text) {
    if (call->plan == NULL) /* else it counts when it is said */
        count_error(call, word);
    call->has_failed = true;
    fb_resp_write_error(call->out, word, text);
}

void fb_call_say(struct fb_call *call, enum fb_error error, const char *format, ...) {
    char text[FB_ERR_TEXT_MAX + SHOWN_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(call, rows[error].word, text);
}

void fb_call_refuse(struct fb_call *call, enum fb_error error) { say(call, rows[error].word, rows[error].text); }

void fb_call_wrong_type(struct fb_call *call) { fb_call_refuse(call, FB_ERROR_WRONG_TYPE); }

void fb_call_syntax_error(struct fb_call *call) { fb_call_refuse(call, FB_ERROR_SYNTAX); }

void fb_call_fail(struct fb_call *call, fb_status status, fb_bytes text) {
    char own[FB_ERR_TEXT_MAX + SHOWN_MAX];
    if (status == FB_WRONGTYPE) {
        fb_call_wrong_type(call); /* clients know Redis' words */
        return;
    }
    snprintf(own, sizeof own, "%.*s", (int)text.len, text.len > 0 ? text.data : "");
    say(call, fb_status_word(status), text.len > 0 ? own : fb_status_text(status));
}

void fb_call_out_of_memory(struct fb_call *call) { fb_call_fail(call, FB_NOMEM, fb_bytes_of(NULL, 0)); }

bool fb_call_failed(struct fb_call *call, const struct fb_part *part) {
    if (part->status >= 0)
        return false;
    fb_call_fail(call, part->status, fb_bytes_of(part->bytes.data, part->bytes.len));
    return true;
}

/* ---- the reference page ------------------------------------------------------------------------------------------ */

/* What is filled in shows as "…"; `|` would end a cell of a Markdown table. */
static void print_text(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '%') {
            text += strcspn(text, "scdu");
            fputs("…", out);
        } else {
            fprintf(out, *text == '|' ? "\\|" : "%c", *text);
        }
    }
}

void fb_errors_print_reference(FILE *out) {
    fputs("# Errors\n\n"
          "<!-- Printed by `forebay reference errors`. -->\n\n"
          "What the server itself says, each with what to do about it; \"…\" stands for what is filled in. Texts are\n"
          "Redis' where the case is Redis'. What a source or a keyspace refuses begins with the first word of its\n"
          "[status](statuses.md), followed by the reason.\n\n"
          "| error | when | what to do |\n|---|---|---|\n",
          out);
    for (size_t i = 0; i < FB_ERROR_COUNT_; i++) {
        fprintf(out, "| `%s ", rows[i].word);
        print_text(out, rows[i].text);
        fprintf(out, "` | %s | %s |\n", rows[i].meaning, rows[i].help);
    }
}
