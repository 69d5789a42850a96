/* progress_flood N: N lines of progress, as fast as they can be printed. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    long n = atol(argv[1]);
    for (long i = 1; i <= n; i++)
        printf("copying file %ld of %ld, %ld%%\n", i, n, 100 * i / n);
    return 0;
}
