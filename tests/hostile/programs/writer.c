/* writer BYTES [line]: that much on standard output as fast as it goes, in lines of 80 or as one; then "the end". */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char block[1 << 20];

static int put(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t done = write(fd, data, size);
        if (done <= 0)
            return 1;
        data += done;
        size -= done;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int is_line = argc > 2 && !strcmp(argv[2], "line"), fd = argc > 2 && !strcmp(argv[2], "stderr") ? 2 : 1;
    memset(block, 'x', sizeof block);
    for (size_t i = 79; !is_line && i < sizeof block; i += 80)
        block[i] = '\n';
    if (put(fd, "the beginning\n", 14))
        return 1;
    for (long long left = atoll(argv[1]); left > 0; left -= sizeof block)
        if (put(fd, block, sizeof block))
            return 1;
    return put(1, "\nthe end\n", 9);
}
