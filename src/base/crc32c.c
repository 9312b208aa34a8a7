/* CRC32C by the processor, or by eight tables ("slicing by 8": Kounavis, Berry, ISCC 2005). */
#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

enum { SLICES = 8 };
#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t tables[SLICES][256];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_tables(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = (c >> 1) ^ (c & 1 ? POLYNOMIAL : 0);
        tables[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < SLICES; k++)
            tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 255];
}

uint32_t fb_crc32c_table(uint32_t crc, const void *data, size_t len) {
    const unsigned char *p = data;
    pthread_once(&made, make_tables);
    uint32_t c = ~crc;
    for (; len >= SLICES; p += SLICES, len -= SLICES) {
        c ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        c = tables[7][c & 255] ^ tables[6][c >> 8 & 255] ^ tables[5][c >> 16 & 255] ^ tables[4][c >> 24] ^
            tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
    }
    for (; len > 0; p++, len--)
        c = (c >> 8) ^ tables[0][(c ^ *p) & 255];
    return ~c;
}

/* Each byte of the table's top bytes comes once, so each step can be taken back. */
uint32_t fb_crc32c_before(uint32_t crc, const void *data, size_t len) {
    const unsigned char *p = data;
    unsigned char entry_of[256];
    pthread_once(&made, make_tables);
    for (int i = 0; i < 256; i++)
        entry_of[tables[0][i] >> 24] = (unsigned char)i;
    uint32_t c = ~crc;
    while (len-- > 0) {
        unsigned char i = entry_of[c >> 24];
        c = (c ^ tables[0][i]) << 8 | (uint32_t)(i ^ p[len]);
    }
    return ~c;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const void *data, size_t len) {
    const unsigned char *p = data;
    uint64_t c = (uint32_t)~crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        c = __builtin_ia32_crc32di(c, word);
    }
    uint32_t last = (uint32_t)c;
    for (; len > 0; p++, len--)
        last = __builtin_ia32_crc32qi(last, *p);
    return ~last;
}

uint32_t fb_crc32c(uint32_t crc, const void *data, size_t len) {
    return __builtin_cpu_supports("sse4.2") ? by_instruction(crc, data, len) : fb_crc32c_table(crc, data, len);
}

#else

uint32_t fb_crc32c(uint32_t crc, const void *data, size_t len) { return fb_crc32c_table(crc, data, len); }

#endif
