/* zombies N: N children that exit while nobody waits for them; `orphans` exit after their parent did. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    for (int i = 0; i < atoi(argv[1]); i++) {
        if (fork() == 0) {
            if (argc > 2)
                usleep(50000);
            _exit(0);
        }
    }
    if (argc > 2)
        return 0;
    close(open("ready", O_CREAT | O_WRONLY, 0600));
    sleep(60);
}
