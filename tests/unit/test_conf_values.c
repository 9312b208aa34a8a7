/* What a configuration amounts to: every row of the table of settings by itself, units both ways, secrets, which of
 * flag, environment, file, class and default holds, and that what is printed reads back the same. */
#include "conf_case.h"

#include "base/mem.h"
#include "base/rng.h"

/* ---- the table -------------------------------------------------------------------------------------------------- */

static bool parses(const struct fb_setting *s, const char *text, void *data) {
    struct fb_arena arena = {0};
    struct fb_complaint complaint;
    bool ok = fb_setting_parse(s, &arena, &text, 1, false, data, &complaint);
    fb_arena_finish(&arena);
    return ok;
}

static bool is_sentence(const char *text) { return text[strlen(text) - 1] == '.' && strstr(text, "  ") == NULL; }

static void every_row_of_the_table_holds_together(void **state) {
    (void)state;
    union { struct fb_conf conf; struct fb_conf_keyspace keyspace; struct fb_conf_source source; } data;
    unsigned seen = 0;
    for (int scope = 0; scope < FB_SCOPE_COUNT_; scope++) {
        size_t n;
        const struct fb_setting *rows = fb_settings_of((enum fb_scope)scope, &n);
        assert_true(n > 0);
        seen += (unsigned)n;
        for (size_t i = 0; i < n; i++) {
            const struct fb_setting *s = &rows[i];
            memset(&data, 0, sizeof data);
            assert_true(s->offset + s->size <= fb_sections[scope].struct_size);
            assert_true(is_sentence(s->text));
            assert_true(s->line[0] < 'A' || s->line[0] > 'Z');
            assert_true(s->line[strlen(s->line) - 1] != '.' && strlen(s->line) <= 72);
            if (s->fallback != NULL && !fb_setting_is_required(s))
                assert_true(parses(s, s->fallback, &data));
            if (s->min != NULL)
                assert_true(parses(s, s->min, &data));
            if (s->max != NULL)
                assert_true(parses(s, s->max, &data));
            assert_ptr_equal(fb_setting_find((enum fb_scope)scope, s->name, NULL), s);
            assert_false(fb_setting_is_later((enum fb_scope)scope, s->name));
        }
    }
    assert_true(seen > 40);
}

/* The defaults of the public header, of the server's and of the table are the same numbers. */
static void defaults_are_those_of_the_public_api(void **state) {
    (void)state;
    fb_status status;
    struct fb_conf *conf = case_load("sources: {s: {url: 'sqlite:x'}}\nkeyspaces: {a: {table: t}}\n", &status);
    assert_int_equal(status, FB_OK);
    const fb_keyspace_options expected = FB_KEYSPACE_OPTIONS_INIT, *k = &conf->keyspaces[0].options;
    const fb_source_options *s = &conf->sources[0].options;
    assert_int_equal(conf->memory_max, 256 << 20);
    assert_string_equal(conf->listen[0], "localhost:6380");
    assert_null(conf->listen[1]);
    assert_null(conf->password);
    assert_int_equal(conf->threads, 0);
    assert_true(conf->is_protected);
    assert_int_equal(conf->drain_timeout_ms, 30000);
    assert_int_equal(s->pool, 4);
    assert_int_equal(s->batch_max, 100);
    assert_int_equal(s->queue_max, 10000);
    assert_int_equal(s->read_timeout_ms, 2000);
    assert_int_equal(s->write_timeout_ms, 3000);
    assert_int_equal(s->soft_timeout_ms, 200);
    assert_int_equal(s->breaker_failures, 5);
    assert_int_equal(s->breaker_window_ms, 10000);
    assert_int_equal(k->policy.ttl_ms, expected.policy.ttl_ms);
    assert_true(k->policy.jitter > 0.0999 && k->policy.jitter < 0.1001);
    assert_int_equal(k->policy.negative_ttl_ms, expected.policy.negative_ttl_ms);
    assert_int_equal(k->policy.grace_ms, expected.policy.grace_ms);
    assert_int_equal(k->policy.grace_down_ms, expected.policy.grace_down_ms);
    assert_int_equal(k->read, expected.read);
    assert_int_equal(k->write, expected.write);
    assert_int_equal(k->on_set, expected.on_set);
    assert_int_equal(k->on_del, expected.on_del);
    assert_int_equal(k->set_mode, expected.set_mode);
    assert_string_equal(k->as, "json");
    fb_conf_free(conf);
}

/* What redis-server 7.0 answers to CONFIG GET after CONFIG SET of the same, but for n, which it
 * shows before K and forgets beside A. */
static void classes_of_events_are_shown_as_redis_shows_them(void **state) {
    (void)state;
    static const struct { const char *given, *shown; } rows[] = {
        {"KEA", "AKE"}, {"KEAm", "AKEm"}, {"Kn", "Kn"}, {"KEAmn", "AKEmn"}, {"Eg$lshzxetdm", "AEm"},
        {"KExm$", "$xKEm"}, {"", ""}, {"none", ""}, {"A", "A"}, {"mEK", "KEm"}, {"Kmz", "zKm"}, {"fKEx", "xKEf"},
        {"KK", "K"},
    };
    const struct fb_setting *s = fb_setting_find(FB_SCOPE_SERVER, "notify_keyspace_events", NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_conf conf = {0};
        fb_buf out = FB_BUF_INIT;
        assert_true(parses(s, rows[i].given, &conf));
        assert_int_equal(fb_setting_format(s, &conf, /* for_redis */ true, &out), FB_OK);
        assert_int_equal(fb_buf_append(&out, "", 1), FB_OK);
        assert_string_equal(out.data, rows[i].shown);
        out.len = 0; /* and as we write it, it reads back the same */
        struct fb_conf again = {0};
        assert_int_equal(fb_setting_format(s, &conf, /* for_redis */ false, &out), FB_OK);
        assert_int_equal(fb_buf_append(&out, "", 1), FB_OK);
        assert_true(parses(s, out.data, &again));
        assert_int_equal(again.notify_events, conf.notify_events);
        fb_buf_free(&out);
    }
    struct fb_conf conf = {0};
    assert_false(parses(s, "foo", &conf));
    assert_false(parses(s, "KE A", &conf));
}

static void every_word_of_a_keyspace_is_its_number(void **state) {
    (void)state;
    static const struct { const char *setting, *words; } rows[] = {
        {"read", "read-through cache-aside"},
        {"write", "off write-through write-around"},
        {"on_set", "auto write ignore error"},
        {"on_del", "invalidate delete-row error"},
        {"write_mode", "merge replace"},
    };
    assert_int_equal(FB_READ_ASIDE, 1);
    assert_int_equal(FB_WRITE_THROUGH, 1);
    assert_int_equal(FB_WRITE_AROUND, 2);
    assert_int_equal(FB_ON_SET_WRITE, 1);
    assert_int_equal(FB_ON_SET_IGNORE, 2);
    assert_int_equal(FB_ON_SET_ERROR, 3);
    assert_int_equal(FB_ON_DEL_DELETE_ROW, 1);
    assert_int_equal(FB_ON_DEL_ERROR, 2);
    assert_int_equal(FB_SET_REPLACE, 1);
    for (size_t r = 0; r < COUNT(rows); r++) {
        const struct fb_setting *s = fb_setting_find(FB_SCOPE_KEYSPACE, rows[r].setting, NULL);
        unsigned number = 0;
        for (const char *p = rows[r].words; *p != '\0'; number++) {
            struct fb_conf_keyspace k = {0};
            char word[32];
            size_t len = strcspn(p, " ");
            snprintf(word, sizeof word, "%.*s", (int)len, p);
            assert_true(parses(s, word, &k));
            unsigned got;
            memcpy(&got, (char *)&k + s->offset, sizeof got);
            assert_int_equal(got, number);
            p += len + (p[len] == ' ');
        }
    }
}

/* ---- units ------------------------------------------------------------------------------------------------------ */

static void units_mean_what_they_say(void **state) {
    (void)state;
    static const struct { const char *setting, *text; int64_t value; const char *printed; } rows[] = {
        {"memory_max", "1mb", 1 << 20, "1mb"},
        {"memory_max", "1024KB", 1 << 20, "1mb"},
        {"memory_max", "1MiB", 1 << 20, "1mb"},
        {"memory_max", "1gb512mb", INT64_C(1610612736), "1536mb"},
        {"memory_max", "16tb", INT64_C(1) << 44, "16tb"},
        {"memory_max", "1048577b", 1048577, "1048577b"},
        {"drain_timeout", "0s", 0, "0ms"},
        {"drain_timeout", "250ms", 250, "250ms"},
        {"drain_timeout", "1m30s", 90000, "90s"},
        {"drain_timeout", "60s", 60000, "1m"},
        {"drain_timeout", "1h", 3600000, "1h"},
    };
    const struct fb_setting *s;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fb_conf conf = {0};
        fb_buf out = FB_BUF_INIT;
        int64_t got;
        s = fb_setting_find(FB_SCOPE_SERVER, rows[i].setting, NULL);
        assert_true(parses(s, rows[i].text, &conf));
        memcpy(&got, (char *)&conf + s->offset, sizeof got);
        assert_int_equal(got, rows[i].value);
        assert_int_equal(fb_setting_format(s, &conf, false, &out), FB_OK);
        assert_int_equal(out.len, strlen(rows[i].printed));
        assert_memory_equal(out.data, rows[i].printed, out.len);
        fb_buf_free(&out);
    }
}

static void what_is_no_number_with_its_unit_is_refused(void **state) {
    (void)state;
    static const char *const times[] = {"",
                                        "1",
                                        "s",
                                        "1 s",
                                        "1x",
                                        "1.5h",
                                        "-1s",
                                        "+1s",
                                        "1s1m",
                                        "1s1s",
                                        "1e3s",
                                        "0x1s",
                                        "1h-30m",
                                        "99999999999999999999s",
                                        "9223372036854775807d",
                                        "1s ",
                                        " 1s",
                                        "infinity"};
    static const char *const shares[] = {"10", "%", "-1%", "1.%", "1.234%", ".5%", "1e1%", "90.01%", "1%%", "10 %"};
    static const char *const factors[] = {"", "-1", "1.", "1.234", ".5", "1e1", "1%", "100.01", "0", "0.00", "nan", " 1"};
    struct fb_conf_keyspace k;
    for (size_t i = 0; i < COUNT(factors); i++)
        assert_false(parses(fb_setting_find(FB_SCOPE_KEYSPACE, "early_refresh", NULL), factors[i], &k));
    for (size_t i = 0; i < COUNT(times); i++)
        assert_false(parses(fb_setting_find(FB_SCOPE_KEYSPACE, "ttl", NULL), times[i], &k));
    for (size_t i = 0; i < COUNT(shares); i++)
        assert_false(parses(fb_setting_find(FB_SCOPE_KEYSPACE, "jitter", NULL), shares[i], &k));
}

static void numbers_survive_being_printed(void **state) {
    (void)state;
    struct fb_rng rng = {7};
    static const char *const names[] = {"ttl", "jitter", "refresh_ahead", "early_refresh"};
    for (unsigned i = 0; i < 20000; i++) {
        const struct fb_setting *s = fb_setting_find(FB_SCOPE_KEYSPACE, names[i % COUNT(names)], NULL);
        struct fb_conf_keyspace k = {0}, again = {0};
        fb_buf out = FB_BUF_INIT;
        k.options.policy.ttl_ms = 1 + (int64_t)fb_rng_below(&rng, UINT64_C(1) << fb_rng_below(&rng, 38));
        k.options.policy.jitter = (double)fb_rng_below(&rng, 9001) / 10000;
        k.options.policy.refresh_ahead = (double)(100 + fb_rng_below(&rng, 9801)) / 10000;
        k.options.policy.early_refresh = (double)(1 + fb_rng_below(&rng, 10000)) / 100;
        assert_int_equal(fb_setting_format(s, &k, false, &out), FB_OK);
        assert_int_equal(fb_buf_append(&out, "", 1), FB_OK);
        assert_true(parses(s, out.data, &again));
        assert_memory_equal((char *)&k + s->offset, (char *)&again + s->offset, s->size);
        fb_buf_free(&out);
    }
}

/* ---- which one holds -------------------------------------------------------------------------------------------- */

#define BASE "sources: {shop: {url: 'sqlite:x', pool: 2}}\nkeyspaces: {'u:{id}': {table: t}}\n"

static void assert_origin(const struct fb_conf *conf, const char *line) {
    char *text = CASE_PRINTED(out, fb_conf_print(conf, out, true));
    if (strstr(text, line) == NULL)
        fail_msg("no '%s' in:\n%s", line, text);
    free(text);
}

static void flag_beats_environment_beats_file_beats_default(void **state) {
    (void)state;
    static const char file[] = "server: {memory_max: 2mb}\n" BASE;
    static const struct fb_conf_flag flags[] = {{"server.memory_max", "4mb"}, {"sources.shop.pool", "5"}};
    struct fb_conf *conf = NULL;
    fb_err err;
    for (unsigned level = 0; level < 4; level++) {
        const char *text = level == 0 ? BASE : file;
        struct fb_conf_args args = {.path = case_write("f.yaml", text, strlen(text), 0600)};
        if (level >= 2) {
            setenv("FOREBAY_MEMORY_MAX", "3mb", 1);
            setenv("FOREBAY_SOURCE_SHOP_POOL", "4", 1);
        }
        if (level == 3) {
            args.flags = flags;
            args.nflags = COUNT(flags);
        }
        assert_int_equal(fb_conf_load(&args, &conf, &err), FB_OK);
        static const unsigned megabytes[] = {256, 2, 3, 4}, pools[] = {2, 2, 4, 5};
        assert_int_equal(conf->memory_max, (uint64_t)megabytes[level] << 20);
        assert_int_equal(conf->sources[0].options.pool, pools[level]);
        static const char *const origins[] = {"memory_max: 256mb  # default\n", "f.yaml:1\n",
                                              "memory_max: 3mb  # FOREBAY_MEMORY_MAX\n",
                                              "memory_max: 4mb  # --server.memory_max\n"};
        assert_origin(conf, origins[level]);
        fb_conf_free(conf);
    }
    unsetenv("FOREBAY_MEMORY_MAX");
    unsetenv("FOREBAY_SOURCE_SHOP_POOL");
}

static void flags_alone_are_enough(void **state) {
    (void)state;
    static const char *const sources[] = {"sqlite:shop.db", NULL}, *const maps[] = {"user:{id:int}=users", "a={x}=t",
                                                                                    NULL};
    static const struct fb_conf_flag flags[] = {{"keyspaces.user:{id:int}.ttl", "5s"}};
    struct fb_conf_args args = {.path = case_write("f.yaml", "", 0, 0600), .sources = sources, .maps = maps,
                                .flags = flags, .nflags = 1};
    struct fb_conf *conf = NULL;
    fb_err err;
    assert_int_equal(fb_conf_load(&args, &conf, &err), FB_OK);
    assert_int_equal(conf->nkeyspaces, 2);
    assert_string_equal(conf->keyspaces[0].options.pattern, "user:{id:int}");
    assert_string_equal(conf->keyspaces[0].options.table, "users");
    assert_string_equal(conf->keyspaces[0].source_name, "main");
    assert_int_equal(conf->keyspaces[0].options.policy.ttl_ms, 5000);
    assert_string_equal(conf->keyspaces[1].options.pattern, "a={x}");
    assert_string_equal(conf->sources[0].open_url, "sqlite:shop.db");
    char key[64];
    assert_true(fb_conf_example_key(&conf->keyspaces[0], key, sizeof key));
    assert_string_equal(key, "user:42");
    fb_conf_free(conf);
}

static void a_flag_is_known_by_its_names(void **state) {
    (void)state;
    static const struct { const char *flag, *setting;
    } rows[] = {
        {"memory-max", "server.memory_max"},
        {"memory_max", "server.memory_max"},
        {"maxmemory", "server.memory_max"},
        {"requirepass", "server.password"},
        {"server.listen", "server.listen"},
        {"protected-mode", "server.protected"},
        {"sources.shop.pool", "sources.shop.pool"},
        {"sources.shop.batch-max", "sources.shop.batch_max"},
        {"keyspaces.a.b:{c}.ttl", "keyspaces.a.b:{c}.ttl"},
        {"classes.x.jitter", "classes.x.jitter"},
        {"memory", NULL},
        {"server.ttl", NULL},
        {"sources.pool", NULL},
        {"sources..pool", NULL},
        {"source.a.pool", NULL},
        {"keyspaces.a.nothing", NULL},
        {"", NULL},
        {".", NULL},
        {"server.", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char setting[128];
        bool found = fb_conf_flag_find(rows[i].flag, setting, sizeof setting, NULL);
        assert_int_equal(found, rows[i].setting != NULL);
        if (found)
            assert_string_equal(setting, rows[i].setting);
    }
    struct fb_nearest near = fb_nearest_begin("memori-max");
    char setting[128];
    assert_false(fb_conf_flag_find("memori-max", setting, sizeof setting, &near));
    assert_string_equal(near.best, "memory_max");
}

static void a_class_gives_what_the_keyspace_does_not_say(void **state) {
    (void)state;
    fb_status status;
    struct fb_conf *conf = case_load("sources: {s: {url: 'sqlite:x'}}\n"
                                     "classes: {slow: {ttl: 2h, jitter: 20%}, config: {ttl: 5s}}\n"
                                     "keyspaces:\n"
                                     "  a: {table: a, class: slow}\n"
                                     "  b: {table: b, class: slow, ttl: 3h}\n"
                                     "  c: {table: c, class: slow, jitter: 0%}\n"
                                     "  d: {table: d, class: session}\n"
                                     "  e: {table: e, class: config}\n",
                                     &status);
    assert_int_equal(status, FB_OK);
    static const struct { int64_t ttl_ms; int jitter; } expected[] = {
        {7200000, 20}, {10800000, 20}, {7200000, 0}, {1800000, 10}, {5000, 10}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(conf->keyspaces[i].options.policy.ttl_ms, expected[i].ttl_ms);
        assert_int_equal((int)(conf->keyspaces[i].options.policy.jitter * 100 + 0.5), expected[i].jitter);
    }
    assert_origin(conf, "ttl: 30m  # class session\n");
    fb_conf_free(conf);
}

static void a_misspelled_variable_is_a_warning(void **state) {
    (void)state;
    setenv("FOREBAY_MEMRY_MAX", "1mb", 1);
    setenv("FOREBAY_PORT", "tcp://10.0.0.1:6380", 1);        /* Kubernetes' */
    setenv("FOREBAY_SERVICE_HOST", "10.0.0.1", 1);
    setenv("FOREBAY_THREADS", "many", 1);
    fb_status status;
    struct fb_conf *conf = case_load(BASE, &status);
    assert_int_equal(status, FB_CONFIG);
    char *text = CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT));
    assert_string_equal(text, "environment: warning[unknown-variable]: no setting is called FOREBAY_MEMRY_MAX\n"
                              "    | FOREBAY_MEMRY_MAX=…\n"
                              "    | ^^^^^^^^^^^^^^^^^\n"
                              "help: did you mean FOREBAY_MEMORY_MAX?\n"
                              "\n"
                              "environment: error[type]: 'many' is not what threads takes\n"
                              "    | FOREBAY_THREADS=many\n"
                              "    |                 ^^^^\n"
                              "help: a whole number without a unit, or 'auto'\n");
    free(text);
    fb_conf_free(conf);
    unsetenv("FOREBAY_MEMRY_MAX");
    unsetenv("FOREBAY_PORT");
    unsetenv("FOREBAY_SERVICE_HOST");
    unsetenv("FOREBAY_THREADS");
}

/* ---- secrets ---------------------------------------------------------------------------------------------------- */

#define SECRET "s3cr3t-hunter2"

/* In no print and no message. */
static void assert_hidden(const struct fb_conf *conf) {
    char *texts[] = {
        CASE_PRINTED(out, fb_conf_print(conf, out, true)),
        CASE_PRINTED(out, fb_conf_print(conf, out, false)),
        CASE_PRINTED(out, fb_conf_print_json(conf, out)),
        CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_TEXT)),
        CASE_PRINTED(out, fb_conf_print_diagnostics(conf, out, FB_CONF_JSON)),
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (strstr(texts[i], SECRET) != NULL)
            fail_msg("the secret shows in:\n%s", texts[i]);
        free(texts[i]);
    }
}

static void assert_password(const char *reference, const char *password) {
    char text[512];
    fb_status status;
    snprintf(text, sizeof text, "server: {password: '%s'}\n" BASE, reference);
    struct fb_conf *conf = case_load(text, &status);
    assert_int_equal(status, password != NULL ? FB_OK : FB_CONFIG);
    if (password != NULL)
        assert_string_equal(conf->password, password);
    else
        assert_null(conf->password);
    assert_hidden(conf);
    fb_conf_free(conf);
}

static void secrets_come_from_where_they_are_kept(void **state) {
    (void)state;
    char reference[300];
    setenv("CONF_TEST_SECRET", SECRET, 1);
    assert_password("env:CONF_TEST_SECRET", SECRET);
    setenv("CONF_TEST_SECRET", "", 1);
    assert_password("env:CONF_TEST_SECRET", NULL);
    unsetenv("CONF_TEST_SECRET");
    assert_password("env:CONF_TEST_SECRET", NULL);

    static const struct { const char *data; unsigned mode; bool is_good; } files[] = {
        {SECRET "\n", 0600, true}, {SECRET, 0400, true}, {SECRET "\r\n", 0600, true}, {SECRET "\n", 0640, false},
        {SECRET "\n", 0604, false}, {"\n", 0600, false}, {"", 0600, false}, {SECRET "\nmore\n", 0600, false},
    };
    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(reference, sizeof reference, "file:%s",
                 case_write("secret", files[i].data, strlen(files[i].data), files[i].mode));
        assert_password(reference, files[i].is_good ? SECRET : NULL);
    }
    assert_password("file:/nowhere/secret", NULL);
    snprintf(reference, sizeof reference, "file:%s", case_folder);
    assert_password(reference, NULL);

    case_write("credential", SECRET "\n", strlen(SECRET) + 1, 0644);
    setenv("CREDENTIALS_DIRECTORY", case_folder, 1);
    assert_password("credential:credential", SECRET);
    assert_password("credential:../etc/passwd", NULL);
    assert_password("credential:", NULL);
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_password("credential:credential", NULL);
}

static void the_environment_may_hold_a_secret_itself(void **state) {
    (void)state;
    fb_status status;
    setenv("FOREBAY_PASSWORD", SECRET, 1);
    setenv("FOREBAY_SOURCE_SHOP_URL", "postgresql://ann@h/d", 1);
    setenv("FOREBAY_SOURCE_SHOP_PASSWORD", SECRET "/:@", 1);
    struct fb_conf *conf = case_load(BASE, &status);
    assert_int_equal(status, FB_OK);
    assert_string_equal(conf->password, SECRET);
    assert_string_equal(conf->sources[0].open_url, "postgresql://ann:" SECRET "%2F%3A%40@h/d");
    assert_hidden(conf);
    fb_conf_free(conf);

    unsetenv("FOREBAY_PASSWORD");
    unsetenv("FOREBAY_SOURCE_SHOP_PASSWORD");
    setenv("FOREBAY_SOURCE_SHOP_URL", "postgresql://ann:" SECRET "@h/d", 1);
    setenv("FOREBAY_PASSWORD_FILE", case_write("secret", "from-a-file", 11, 0600), 1);
    conf = case_load(BASE, &status);
    assert_int_equal(status, FB_OK);
    assert_string_equal(conf->password, "from-a-file");
    assert_string_equal(conf->sources[0].open_url, "postgresql://ann:" SECRET "@h/d");
    assert_hidden(conf);
    fb_conf_free(conf);
    unsetenv("FOREBAY_SOURCE_SHOP_URL");
    unsetenv("FOREBAY_PASSWORD_FILE");
}

static void a_secret_in_the_file_is_refused_and_not_repeated(void **state) {
    (void)state;
    static const char *const texts[] = {
        "server:\n  password: " SECRET "\n" BASE,
        "server: {password: '" SECRET "', threads: x}\n" BASE,
        "server:\n  \"password\": \"" SECRET "\"\n" BASE,
        "server:\n  requirepass: " SECRET "\n" BASE,
        "server:\n  pasword: 1\n  password: " SECRET ": x\n" BASE, /* no YAML */
        "sources:\n  s:\n    url: 'postgresql://u:" SECRET "@h/d'\nkeyspaces: {a: {table: t}}\n",
        "sources:\n  s: {ulr: 'postgresql://u:" SECRET "@h/d'}\nkeyspaces: {a: {table: t}}\n",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        fb_status status;
        struct fb_conf *conf = case_load(texts[i], &status);
        assert_int_equal(status, FB_CONFIG);
        assert_hidden(conf);
        fb_conf_free(conf);
    }
    static const struct fb_conf_flag flags[] = {{"server.password", SECRET}};
    struct fb_conf_args args = {.path = case_write("f.yaml", BASE, strlen(BASE), 0600), .flags = flags, .nflags = 1};
    struct fb_conf *conf = NULL;
    fb_err err;
    assert_int_equal(fb_conf_load(&args, &conf, &err), FB_CONFIG);
    assert_hidden(conf);
    fb_conf_free(conf);
}

/* ---- printing --------------------------------------------------------------------------------------------------- */

static void assert_same_text(const char *a, const char *b) {
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL)
        assert_string_equal(a, b);
}

static void assert_same_keyspaces(const struct fb_conf *a, const struct fb_conf *b) {
    assert_int_equal(a->nkeyspaces, b->nkeyspaces);
    for (size_t i = 0; i < a->nkeyspaces; i++) {
        const fb_keyspace_options *x = &a->keyspaces[i].options, *y = &b->keyspaces[i].options;
        assert_same_text(x->pattern, y->pattern);
        assert_same_text(x->table, y->table);
        assert_same_text(x->load, y->load);
        assert_same_text(x->as, y->as);
        assert_int_equal(x->hide == NULL, y->hide == NULL);
        for (size_t h = 0; x->hide != NULL && (h == 0 || x->hide[h - 1] != NULL); h++)
            assert_same_text(x->hide[h], y->hide[h]);
    }
}

static void what_is_printed_reads_back_the_same(void **state) {
    (void)state;
    static const char *const texts[] = {
        BASE,
        "server: {listen: ['127.0.0.1:0', 'unix:/tmp/a b'], protected: false, eviction: lru, threads: 3}\n" BASE,
        "sources: {s: {url: 'sqlite:a b#c: d'}}\nclasses: {c: {ttl: 1ms, jitter: 12.34%}}\n"
        "keyspaces:\n"
        "  '{x}:y:z': {load: \"SELECT\\n  1 -- \\\"q\\\"\\n\\n\", class: c, negative_ttl: off}\n"
        "  'a:\\{b\\}': {load: \"two\\nlines\", hide_columns: [a, 'b, c', '#d', 'off']}\n"
        "  'd:{e}': {load: \" starts with a blank\\nline\"}\n"
        "  'f': {load: \"t\\tab\\x01\\e \\u00e9 ' \\\\\"}\n"
        "  'g': {table: 'true', as: 'column:x y'}\n"
        "  '- h': {table: '- x', on_set: ignore, on_del: error}\n",
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        for (int with_origins = 0; with_origins < 2; with_origins++) {
            fb_status status;
            struct fb_conf *conf = case_load(texts[i], &status);
            assert_int_equal(status, FB_OK);
            char *first = CASE_PRINTED(out, fb_conf_print(conf, out, with_origins));
            char *values = CASE_PRINTED(out, fb_conf_print(conf, out, false));
            struct fb_conf *read_back = case_load(first, &status);
            if (status != FB_OK)
                fail_msg("does not read back:\n%s", first);
            char *again = CASE_PRINTED(out, fb_conf_print(read_back, out, false));
            assert_string_equal(values, again);
            assert_same_keyspaces(conf, read_back);
            fb_conf_free(read_back);
            fb_conf_free(conf);
            free(first);
            free(values);
            free(again);
        }
}

struct answers { char text[2048]; };

static void take(void *user, const char *name, const char *value) {
    struct answers *a = user;
    size_t len = strlen(a->text);
    snprintf(a->text + len, sizeof a->text - len, "%s=%s;", name, value);
}

static void config_get_knows_our_names_and_those_of_redis(void **state) {
    (void)state;
    static const struct { const char *glob, *answers; } rows[] = {
        {"maxmemory", "maxmemory=67108864;"},
        {"MAXMEMORY", "maxmemory=67108864;"},
        {"memory_max", "memory_max=64mb;"},
        {"max*", "maxmemory=67108864;maxmemory-policy=allkeys-lru;maxclients=10000;maxmemory-clients=0;"},
        {"requirepass", "requirepass=;"},
        {"password", "password=;"},
        {"listen", "listen=127.0.0.1:1 127.0.0.1:2;"},
        {"protected*", "protected=true;protected-mode=yes;"},
        {"shutdown-timeout", "shutdown-timeout=90;"},
        {"ttl", ""},
        {"", ""},
    };
    fb_status status;
    setenv("FOREBAY_PASSWORD", SECRET, 1);
    struct fb_conf *conf = case_load("server: {memory_max: 64mb, eviction: lru, listen: ['127.0.0.1:1', '127.0.0.1:2'],"
                                     " drain_timeout: 90s}\n" BASE, &status);
    unsetenv("FOREBAY_PASSWORD");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct answers a = {""};
        fb_conf_get(conf, rows[i].glob, take, &a);
        assert_string_equal(a.text, rows[i].answers);
    }
    struct answers a = {""};
    fb_conf_get(conf, "*", take, &a);
    assert_null(strstr(a.text, SECRET));
    fb_conf_free(conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table_holds_together),
        cmocka_unit_test(defaults_are_those_of_the_public_api),
        cmocka_unit_test(classes_of_events_are_shown_as_redis_shows_them),
        cmocka_unit_test(every_word_of_a_keyspace_is_its_number),
        cmocka_unit_test(units_mean_what_they_say),
        cmocka_unit_test(what_is_no_number_with_its_unit_is_refused),
        cmocka_unit_test(numbers_survive_being_printed),
        cmocka_unit_test(flag_beats_environment_beats_file_beats_default),
        cmocka_unit_test(flags_alone_are_enough),
        cmocka_unit_test(a_flag_is_known_by_its_names),
        cmocka_unit_test(a_class_gives_what_the_keyspace_does_not_say),
        cmocka_unit_test(a_misspelled_variable_is_a_warning),
        cmocka_unit_test(secrets_come_from_where_they_are_kept),
        cmocka_unit_test(the_environment_may_hold_a_secret_itself),
        cmocka_unit_test(a_secret_in_the_file_is_refused_and_not_repeated),
        cmocka_unit_test(what_is_printed_reads_back_the_same),
        cmocka_unit_test(config_get_knows_our_names_and_those_of_redis),
    };
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
