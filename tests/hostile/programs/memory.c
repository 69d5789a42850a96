/* memory MB PROCESSES: each of them takes that much and holds it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    size_t size = (size_t)atol(argv[1]) << 20;
    for (int i = 1; i < atoi(argv[2]); i++)
        if (fork() == 0)
            break;
    char *taken = malloc(size);
    if (!taken) {
        perror("memory");
        return 12;
    }
    for (size_t done = 0; done < size; done += 1 << 20) {
        memset(taken + done, 1, 1 << 20);
        usleep(2000);
    }
    sleep(30);
    return taken[0];
}
