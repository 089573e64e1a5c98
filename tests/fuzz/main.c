/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays files through a fuzz target without a fuzzer, so that `make check` needs no special
 * compiler:
 *
 *      fuzz_NAME FILE...
 *
 * A target reports a defect by aborting. `make fuzz` links the same targets with libFuzzer
 * instead.
 */
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int replay(const char *path)
{
    FILE *f = fopen(path, "rbe");
    if (!f) {
        perror(path);
        return 1;
    }
    struct buf text = BUF_EMPTY;
    size_t got;
    do {
        got = fread(buf_reserve(&text, 4096), 1, 4096, f);
        text.len += got;
    } while (got > 0);
    int failed = ferror(f);
    fclose(f);
    if (!failed) {
        LLVMFuzzerTestOneInput(text.data, text.len);
    }
    buf_fini(&text);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed |= replay(argv[i]);
    }
    return failed;
}
