/* burner N: N children that only use the processor, 20 s at most. */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    time_t end = time(NULL) + 20;
    for (int i = 0; i < atoi(argv[1]); i++)
        if (fork() == 0)
            while (time(NULL) < end)
                ;
    sleep(20);
    return 0;
}
