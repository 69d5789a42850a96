/* 300,000 writes of one byte each, on both streams in turn. */
#include <unistd.h>

int main(void)
{
    for (int i = 0; i < 300000; i++)
        if (write(1 + i % 2, i % 160 > 157 ? "\n" : "ab" + i % 2, 1) != 1)
            return 1;
    return 0;
}
