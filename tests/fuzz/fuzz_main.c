/* A short run of a fuzz target without libFuzzer: the recorded sessions, then mutations of them drawn from fixed seeds.
 *
 *     test_fuzz_dispatch sessions.txt 2000 [first seed]
 *
 * What fails is printed with its seed; `… sessions.txt 1 SEED` repeats it. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "fuzz.h"

enum { SESSIONS_MAX = 128, INPUT_MAX = 8192, OPTIONS = 4, CHANGES_MAX = 8 };

static struct fb_rng rng;
static char doing[64] = "starting\n";

static void on_death(int number) {
    (void)!write(STDERR_FILENO, doing, strlen(doing));
    signal(number, SIG_DFL);
    raise(number);
}

/* What libFuzzer's own mutations are to it. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) {
    size_t at = size > 0 ? fb_rng_below(&rng, size) : 0;
    switch (fb_rng_below(&rng, 4)) {
    case 0:
        if (size > 0)
            data[at] = (uint8_t)(data[at] ^ 1 << fb_rng_below(&rng, 8));
        return size;
    case 1:
        if (size > 0)
            data[at] = (uint8_t)"*$\r\n0123456789-\"'\\ \0"[fb_rng_below(&rng, 20)];
        return size;
    case 2:
        return size > 1 ? at + 1 : size;
    default:
        if (size < max_size) {
            memmove(data + at + 1, data + at, size - at);
            data[at] = (uint8_t)fb_rng_next(&rng);
            size++;
        }
        return size;
    }
}

/* The sessions of a file, with room before each for the first byte of an input. */
static size_t read_sessions(char *text, char *sessions[SESSIONS_MAX]) {
    size_t n = 0;
    bool is_fresh = true;
    char *out = NULL;
    for (char *line = text, *next; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        size_t len = next != NULL ? (size_t)(++next - line) : strlen(line);
        if (*line == '#' || len == 1) {
            is_fresh = true;
            continue;
        }
        if (is_fresh && n < SESSIONS_MAX)
            sessions[n++] = out = calloc(1, INPUT_MAX);
        is_fresh = false;
        size_t have = strlen(out + 1);
        if (have + len + 2 < INPUT_MAX)
            memcpy(out + 1 + have, line, len);
    }
    return n;
}

int main(int argc, char **argv) {
    static char text[1 << 16];
    char *sessions[SESSIONS_MAX];
    FILE *file = argc > 2 ? fopen(argv[1], "r") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: %s SESSIONS COUNT [SEED]\n", argv[0]);
        return 2;
    }
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    size_t n = read_sessions(text, sessions);
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10), first = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
    signal(SIGABRT, on_death);
    signal(SIGSEGV, on_death);
    LLVMFuzzerInitialize(&argc, &argv);
    uint8_t input[INPUT_MAX];
    for (size_t i = 0; i < n; i++)
        for (uint8_t options = 0; options < OPTIONS; options++) {
            snprintf(doing, sizeof doing, "session %zu, options %u\n", i + 1, options);
            sessions[i][0] = (char)options;
            (void)LLVMFuzzerTestOneInput((const uint8_t *)sessions[i], 1 + strlen(sessions[i] + 1));
        }
    for (unsigned seed = first; seed - first < count; seed++) {
        snprintf(doing, sizeof doing, "seed %u\n", seed);
        rng.state = seed;
        const char *session = sessions[fb_rng_below(&rng, n)];
        size_t size = 1 + strlen(session + 1);
        memcpy(input, session, size);
        input[0] = (uint8_t)fb_rng_below(&rng, OPTIONS);
        for (uint64_t changes = 1 + fb_rng_below(&rng, CHANGES_MAX); changes > 0; changes--)
            size = LLVMFuzzerCustomMutator(input, size, sizeof input, (unsigned)fb_rng_next(&rng));
        (void)LLVMFuzzerTestOneInput(input, size);
    }
    for (size_t i = 0; i < n; i++)
        free(sessions[i]);
    printf("1..1\nok 1 - %zu sessions and %u mutations of them\n", n, count);
    return 0;
}
