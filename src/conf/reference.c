/* The reference page of all settings, printed from the table. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/settings.h"
#include "policy/policy.h"

/* Markdown's table separator would end a cell. */
static void print_choices(FILE *out, const char *choices) {
    const char *separator = "";
    for (const char *p = choices; *p != '\0';) {
        size_t len = strcspn(p, "|"), name = strcspn(p, "|=");
        if (*p != '!')
            fprintf(out, "%s`%.*s`", separator, (int)name, p);
        separator = ", ";
        p += len + (p[len] == '|');
    }
}

enum { COLUMNS = 118 };

/* A paragraph, broken at blanks. */
static void print_paragraph(FILE *out, const char *text) {
    for (size_t column = 0; *text != '\0';) {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > COLUMNS) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column > 0 ? " " : "", (int)word, text);
        text += word + (text[word] == ' ');
    }
    fputs("\n\n", out);
}

static void print_setting(FILE *out, const struct fb_setting *s) {
    const struct fb_section *section = &fb_sections[s->scope];
    bool has_members = section->one != NULL;
    char first = (char)(islower((unsigned char)s->line[0]) ? toupper((unsigned char)s->line[0]) : s->line[0]);
    fprintf(out, "### %s%s%s.%s\n\n%c%s.\n\n", section->name, has_members ? "." : "",
            has_members ? section->label : "", s->name, first, s->line + 1);
    print_paragraph(out, s->text);
    fprintf(out, "* value: ");
    if (s->type == FB_TYPE_CHOICE)
        print_choices(out, s->choices);
    else if (s->choices != NULL)
        fprintf(out, "%s, or `%s`", fb_setting_type_text(s->type), s->choices);
    else
        fprintf(out, "%s", fb_setting_type_text(s->type));
    if (s->min != NULL && s->max != NULL && strcmp(s->min, s->max) == 0)
        fprintf(out, "; only %s in this version", s->min);
    else if (s->min != NULL && s->max != NULL)
        fprintf(out, "; %s to %s", s->min, s->max);
    if (fb_setting_is_required(s))
        fprintf(out, "\n* default: none, it must be given");
    else
        fprintf(out, "\n* default: %s%s%s", s->fallback != NULL ? "`" : "", s->fallback != NULL ? s->fallback : "none",
                s->fallback != NULL ? "`" : "");
    fprintf(out, "\n* a change counts: %s\n", s->is_live ? "at once" : "after a restart");
    if (section->variable != NULL) {
        fprintf(out, "* environment: `%s%s", section->variable, section->one != NULL ? "<NAME>_" : "");
        for (const char *p = s->name; *p != '\0'; p++)
            fputc(*p >= 'a' && *p <= 'z' ? *p - 32 : *p, out);
        fprintf(out, "`\n");
    }
    if (s->alias != NULL)
        fprintf(out, "* Redis: `%s`\n", s->alias);
    fputc('\n', out);
}

void fb_conf_print_reference(FILE *out) {
    fputs("# Settings\n\n"
          "<!-- Printed by `forebay reference settings`. -->\n\n"
          "The configuration is one YAML file, `forebay.yaml`. It is looked for at `-c FILE`, `$FOREBAY_CONFIG`,\n"
          "`./forebay.yaml` and `/etc/forebay/forebay.yaml`. A flag goes before the environment, the environment\n"
          "before the file, the file before the default. Every setting is a flag: `--server.memory_max 1gb`, or for\n"
          "the section `server` without it: `--memory-max 1gb`. `forebay check --effective` says where each value\n"
          "comes from.\n\n"
          "Times, sizes and shares need their unit. Unknown and repeated settings are errors. The order of sections\n"
          "and settings does not matter.\n\n",
          out);
    for (int scope = 0; scope < FB_SCOPE_COUNT_; scope++) {
        size_t n;
        const struct fb_setting *rows = fb_settings_of((enum fb_scope)scope, &n);
        fprintf(out, "## %s\n\n", fb_sections[scope].name);
        if (scope == FB_SCOPE_CLASS) {
            fputs("Predefined classes:\n\n| class | ttl | meant for |\n|---|---|---|\n", out);
            for (const struct fb_ttl_class *c = fb_ttl_classes(); c->name != NULL; c++)
                fprintf(out, "| `%s` | %llds | %s |\n", c->name, (long long)(c->ttl_ms / 1000), c->meant_for);
            fputc('\n', out);
        }
        for (size_t i = 0; i < n; i++)
            print_setting(out, &rows[i]);
    }
}
