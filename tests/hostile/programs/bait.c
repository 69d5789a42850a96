/* bait: lines that take a backtracking engine for ever: digits, spaces, letters; short and of a megabyte. */
#include <stdio.h>
#include <string.h>

static char line[1 << 20];

static void put(int character, size_t size, const char *end)
{
    memset(line, character, size);
    fwrite(line, 1, size, stdout);
    puts(end);
}

int main(void)
{
    for (int i = 0; i < 3000; i++) {
        put('a', 40, "!");
        put('9', 8000, "x");
        put(' ', 8000, "x");
    }
    for (int i = 0; i < 10; i++) {
        put('9', sizeof line, "x");
        put('a', sizeof line, "!");
    }
    puts("the end");
    return 0;
}
