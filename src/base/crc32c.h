/* CRC32C (Castagnoli): what tells damaged bytes from whole ones. The processor's own instruction where it has one. */
#ifndef FB_BASE_CRC32C_H
#define FB_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of the bytes behind those that gave `crc`; begin with 0. The usual checksum: of "123456789" it is 0xe3069283. */
uint32_t fb_crc32c(uint32_t crc, const void *data, size_t len);
/* The other way round: what `crc` must have been before these bytes, when it is this behind them. */
uint32_t fb_crc32c_before(uint32_t crc, const void *data, size_t len);
/* fb_crc32c without the instruction, for the test that compares the two. */
uint32_t fb_crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
